"""Models of the Hugging Face Hub: `hf:OWNER/NAME`, fetched once and read from the cache afterwards."""

from __future__ import annotations

import hashlib
import re
from os import PathLike
from pathlib import Path

from regard.errors import InputError, MissingExtraError, ModelFolderError
from regard.files import file_sha256

__all__ = ["PREFIX", "is_hub_name", "local_folder"]

PREFIX = "hf:"

_NAME = re.compile(r"hf:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")

_WANTED = (
    "*.json",
    "*.safetensors",
    "*.model",
    "*.txt",
    "*.spm",
    "*.jinja",
    "README.md",
    "history.jsonl",
)
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
        known = _blobs(match["repo"])
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
    _check_hashes(Path(found), known, str(name))
    return Path(found)


def _blobs(repo: str) -> set[str]:
    """Names of the files of a model that are in the cache; each is the hash of the file."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    return {path.name for path in folder.glob("blobs/*")}


def _check_hashes(folder: Path, known: set[str], name: str) -> None:
    """Compare files that were just fetched with the hashes that the Hub names them by.

    SHA-256 of large files, Git's own hash of small ones. `huggingface_hub` compares sizes alone.

    Raises:
        ModelFolderError: a file is another than the Hub's; all such files are deleted, and the next try fetches
            them again.
    """
    damaged = []
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        if not blob.is_file() or blob.name in known or not _HASH.fullmatch(blob.name):
            continue
        found = file_sha256(blob) if len(blob.name) == 64 else _git_sha1(blob)
        if found != blob.name:
            damaged.append(
                f"{path.name} arrived damaged ({found[:12]}..., not {blob.name[:12]}...)"
            )
            blob.unlink()
            path.unlink(missing_ok=True)
    if damaged:
        raise ModelFolderError(f"{name}: {'; '.join(damaged)}; try again")


_HASH = re.compile("[0-9a-f]{64}|[0-9a-f]{40}")


def _git_sha1(path: Path) -> str:
    """Hash of a file as Git names it."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
