"""Models of the Hugging Face Hub: `hf:OWNER/NAME`, fetched once and read from the cache afterwards."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from regard.errors import InputError, MissingExtraError, ModelFolderError

__all__ = ["PREFIX", "is_hub_name", "local_folder"]

PREFIX = "hf:"

_NAME = re.compile(r"hf:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")

_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.spm", "*.jinja", "README.md")
"""Files that a model is read from; pickles and other formats are never fetched."""


def is_hub_name(folder: str | PathLike[str]) -> bool:
    """Whether a model is named by the Hub and not by a folder."""
    return str(folder).startswith(PREFIX)


def local_folder(name: str | PathLike[str]) -> Path:
    """Fetch a model of the Hub, unless it is in the cache, and return its folder there.

    With `HF_HUB_OFFLINE=1`, or where the Hub cannot be reached, the cache alone is asked. `HF_ENDPOINT`,
    `HF_HOME` and `HF_TOKEN` mean what they mean to `huggingface_hub`.

    Args:
        name: `hf:OWNER/NAME`, with `@REVISION` for a branch, tag or commit.

    Raises:
        InputError: not such a name.
        ModelFolderError: no such model, or the Hub cannot be reached and the cache does not have it.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    match = _NAME.fullmatch(str(name))
    if match is None:
        raise InputError(f"{name}: expected hf:OWNER/NAME, or hf:OWNER/NAME@REVISION")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingExtraError("a model of the Hub", "transformers") from error
    try:
        found = snapshot_download(
            match["repo"], revision=match["revision"], allow_patterns=list(_WANTED)
        )
    except GatedRepoError as error:
        raise ModelFolderError(
            f"{name}: its owner asks for agreement first; agree on its page of the Hub and log in "
            "(hf auth login, or HF_TOKEN)"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelFolderError(f"{name}: it has no revision {match['revision']!r}") from error
    except RepositoryNotFoundError as error:
        raise ModelFolderError(
            f"{name}: the Hub has no such model, or a private one; look at the name, or log in "
            "(hf auth login, or HF_TOKEN)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelFolderError(
            f"{name}: not in the cache, and the Hub cannot be reached (HF_HUB_OFFLINE is set, or there is "
            "no connection); fetch it where there is one, `hf download "
            f"{match['repo']}`, or give the folder of a copy"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFolderError(
            f"{name}: cannot be fetched from the Hub ({first}); try again, or give the folder of a copy"
        ) from error
    return Path(found)
