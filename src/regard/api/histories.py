"""Histories of runs, read from their folders without the models."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from regard.api.storage.folder import CONFIG, parse_config
from regard.api.storage.seal import check_history
from regard.errors import ModelFolderError
from regard.integrations.pretrained.folder import is_pretrained
from regard.training import History
from regard.training.checkpoint import HISTORY_FILE

__all__ = ["read_histories", "read_history"]


def read_history(folder: str | PathLike[str]) -> History:
    """Read the history of a run of `regard train` or `regard.fit`, also of one that goes on.

    Raises:
        ModelFolderError: there is none, or it was changed after the run had ended.
        DataError: a line is no record.
    """
    folder = Path(folder)
    path = folder / HISTORY_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        if not folder.is_dir():
            raise ModelFolderError(f"{folder}: no such folder; give the folder of --out") from error
        why = "was trained elsewhere" if is_pretrained(folder) else "no run has validated in it yet"
        raise ModelFolderError(f"{folder} holds no {HISTORY_FILE}: {why}") from error
    config = folder / CONFIG
    if config.is_file():
        check_history(content, path, parse_config(config.read_bytes(), config))
    return History.parse(content, path)


def read_histories(folders: list[Path]) -> dict[str, History]:
    """Histories by the name of the folder: by as many of its last parts as tell them apart."""
    paths = [folder.resolve() for folder in folders]
    count = 1
    while count < 4 and len({path.parts[-count:] for path in paths}) < len({*paths}):
        count += 1
    names = ["/".join(path.parts[-count:]) for path in paths]
    return {name: read_history(folder) for name, folder in zip(names, folders, strict=True)}
