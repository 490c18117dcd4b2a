"""The data files of a run: where they are and what is in them, so that nobody takes others for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regard.data.datasets import resolve_files
from regard.files import file_sha256

__all__ = ["difference", "file_records"]


def file_records(names: Sequence[str]) -> list[dict[str, Any]]:
    """Absolute path and SHA-256 of each file, as `config.json` holds them.

    A data set of the Hub has no file (its name is kept), a pipe or standard input neither path nor hash.

    Args:
        names: as the user gave them.
    """
    return [_record(name) for name in resolve_files(names)] if names else []


def difference(records: Sequence[Mapping[str, Any]]) -> str:
    """Why files are not those of the run any more; empty if they are.

    Args:
        records: from `file_records`.
    """
    for record in records:
        name, path = record["name"], record["path"]
        if path is None:
            if name.startswith("hub:"):
                continue
            return f"{name} was read from a pipe and is gone"
        if not Path(path).exists():
            return f"{path} is gone"
        if _digest(Path(path)) != record["sha256"]:
            return f"{path} is not the file the model was trained on"
    return ""


def _record(name: str) -> dict[str, Any]:
    path = Path(os.path.realpath(name))  # where /dev/stdin leads, too
    if name == "-" or name.startswith("hub:") or not (path.is_file() or path.is_dir()):
        return {"name": name, "path": None, "sha256": None}
    return {"name": name, "path": str(path), "sha256": _digest(path)}


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and files in a folder."""
    if path.is_file():
        return file_sha256(path)
    whole = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{file_path.relative_to(path)} {_digest(file_path)}\n".encode())
    return whole.hexdigest()
