"""The verdict on a model's attention, kept in its folder for every view to show."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from regard.api.storage.folder import write_json
from regard.errors import ModelFolderError
from regard.training.checkpoint import WEIGHTS_FILE

__all__ = ["keep_verdict", "kept_verdict"]

FILE = "trust.json"


def keep_verdict(folder: Path, verdict: dict[str, Any]) -> None:
    """Write a verdict beside the weights it is about."""
    write_json(folder / FILE, {"weights": _fingerprint(folder), **verdict})


def kept_verdict(folder: Path | None) -> str:
    """The sentence of the verdict; nothing where none is kept, or it is about other weights.

    Raises:
        ModelFolderError: the file is not what `keep_verdict` wrote.
    """
    if folder is None or not (folder / FILE).is_file():
        return ""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        sentence, weights = str(content["sentence"]), content["weights"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelFolderError(
            f"{folder / FILE}: damaged ({error!r}); ask again with `regard trust`, or delete it"
        ) from error
    return sentence if weights == _fingerprint(folder) else ""


def _fingerprint(folder: Path) -> str:
    """Of the weights."""
    path = folder / WEIGHTS_FILE
    facts = path.stat()
    return _digest(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    """Of a file as it is now: every answer asks for it, so it is read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
