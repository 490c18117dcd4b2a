"""Models given to the Hugging Face Hub, by `huggingface_hub`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regard.errors import InputError, MissingExtraError, RegardError

__all__ = ["upload_folder"]

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_CARD = "README.md"


def upload_folder(
    folder: Path,
    repo: str,
    *,
    private: bool,
    token: str | None,
    replaces: tuple[str, ...],
    merge_cards: Callable[[str, str], str],
) -> str:
    """Make a model on the Hub of the files of a folder, or a new commit to one that is there.

    Args:
        folder: of the model.
        repo: `OWNER/NAME`.
        private: whether only its owner may see it; a model that is there already stays as it is.
        token: of the user; `None` takes `HF_TOKEN`, or that of `hf auth login`.
        replaces: names of files that are deleted on the Hub where the folder has them not.
        merge_cards: makes one card of the folder's and of the one that is on the Hub.

    Returns:
        Address of the commit.

    Raises:
        InputError: not such a name, or one that is not the user's to write to.
        RegardError: the Hub cannot be reached, or refuses.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    if _NAME.fullmatch(repo) is None:
        raise InputError(f"{repo!r}: expected OWNER/NAME, as on the Hub")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise MissingExtraError("a model given to the Hub", "transformers") from error
    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        _merge(api, folder, repo, merge_cards)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Upload model with regard",
            delete_patterns=list(replaces),
        )
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise InputError(
                f"{repo}: the Hub does not let you write there ({status}); log in (hf auth login, "
                "HF_TOKEN or token=) with a token that may write, and look at the owner's name"
            ) from error
        raise RegardError(f"{repo}: the Hub refused ({_first_line(error)})") from error
    except HFValidationError as error:
        raise InputError(f"{repo}: no name of the Hub ({_first_line(error)})") from error
    except (OSError, ValueError) as error:
        raise RegardError(
            f"{repo}: cannot be given to the Hub ({_first_line(error)}); try again, or save the model "
            "to a folder"
        ) from error
    return str(commit.commit_url)


def _merge(api: Any, folder: Path, repo: str, merge_cards: Callable[[str, str], str]) -> None:
    """Take over from the card on the Hub what its owner has written there."""
    if not (folder / _CARD).is_file() or not api.file_exists(repo, _CARD):
        return
    there = Path(api.hf_hub_download(repo, _CARD)).read_text(encoding="utf-8")
    card = (folder / _CARD).read_text(encoding="utf-8")
    (folder / _CARD).write_text(merge_cards(card, there), encoding="utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
