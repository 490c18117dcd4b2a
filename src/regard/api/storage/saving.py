"""Saving of a model that was trained in memory, or of one from another folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from regard.api.storage.folder import (
    CONFIG,
    acquire_folder,
    clear,
    parse_config,
    sealed_config,
    write_json,
)
from regard.api.storage.seal import IDENTITY
from regard.errors import InputError
from regard.files import atomic_write
from regard.training.checkpoint import WEIGHTS_FILE, save_weights

__all__ = ["save_model"]

_CARD = "README.md"


def save_model(
    files: Mapping[str, bytes], network: nn.Module, folder: Path, *, overwrite: bool
) -> None:
    """Write a model to a folder, as training into that folder would have left it.

    Args:
        files: all of its files but the weights.
        network: with its weights.
        folder: to write to.
        overwrite: replace the model that is in it.

    Raises:
        InputError: the folder is in use, or the model was never trained.
    """
    if CONFIG not in files:
        raise InputError(
            "this model was never trained, so there is nothing to save; regard.train trains"
        )
    if (folder / CONFIG).is_file() and not overwrite:
        raise InputError(
            f"{folder} already holds a model; overwrite=True replaces it, or choose another folder"
        )
    acquire_folder(folder, resume=False, overwrite=overwrite)
    clear(folder)
    for name, content in files.items():
        if name == _CARD:
            content = f"# {folder.name}\n".encode() + content.partition(b"\n")[2]
        if name != CONFIG:
            _write(folder / name, content)
    # The config last: it is what makes the folder a model's.
    config = sealed_config(folder, parse_config(files[CONFIG], folder / CONFIG))
    save_weights(network, folder / WEIGHTS_FILE, belongs_to=config[IDENTITY])
    write_json(folder / CONFIG, config)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)
