"""The verdict on a model's attention, kept in its folder for every view to show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from regard.api.folder import write_json
from regard.training.checkpoint import WEIGHTS

__all__ = ["keep_verdict", "kept_verdict"]

FILE = "trust.json"


def keep_verdict(folder: Path, verdict: dict[str, Any]) -> None:
    """Write a verdict beside the weights it is about."""
    write_json(folder / FILE, {"weights": _fingerprint(folder), **verdict})


def kept_verdict(folder: Path | None) -> str:
    """The sentence of the verdict; nothing where none is kept, or it is about other weights."""
    if folder is None or not (folder / FILE).is_file():
        return ""
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return str(content["sentence"]) if content["weights"] == _fingerprint(folder) else ""


def _fingerprint(folder: Path) -> str:
    """Of the weights."""
    with (folder / WEIGHTS).open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()
