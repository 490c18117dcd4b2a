"""The verdict on a model's attention, saved in its folder for every view to show."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from regard.api.storage.folder import write_json
from regard.errors import ModelFolderError
from regard.training.checkpoint import WEIGHTS_FILE

__all__ = ["read_verdict", "save_verdict"]

FILE = "trust.json"


def save_verdict(folder: Path, verdict: dict[str, Any]) -> None:
    """Write a verdict beside the weights it is about, with their hash."""
    write_json(folder / FILE, {"weights": _weights_hash(folder), **verdict})


def read_verdict(folder: Path | None) -> str:
    """Sentence of the saved verdict; empty if there is none, or it is about other weights.

    Raises:
        ModelFolderError: the file is not what `save_verdict` wrote.
    """
    if folder is None or not (folder / FILE).is_file():
        return ""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        sentence, weights = str(content["sentence"]), content["weights"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelFolderError(
            f"{folder / FILE}: damaged ({error!r}); run `regard trust` again, or delete it"
        ) from error
    return sentence if weights == _weights_hash(folder) else ""


def _weights_hash(folder: Path) -> str:
    """SHA-256 of the weights as they are now."""
    path = folder / WEIGHTS_FILE
    status = path.stat()
    return _file_hash(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _file_hash(path: Path, changed: int, size: int) -> str:
    """SHA-256 of a file. Every answer needs it, so it is computed once for each state of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
