"""Saving of a model that was trained in memory, or of one from another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from regard.api.storage.folder import (
    CARD_FILE,
    CONFIG,
    RECORD,
    parse_config,
    record_in,
    sealed_config,
    write_record,
)
from regard.api.storage.front_matter import renamed
from regard.api.storage.replacing import begin_next, discard_next, replace_by_next, writing
from regard.api.storage.seal import IDENTITY
from regard.errors import InputError
from regard.files import atomic_write
from regard.training.checkpoint import WEIGHTS_FILE, save_weights

__all__ = ["new_folder", "save_foreign", "save_model"]


def save_model(
    files: Mapping[str, bytes], network: nn.Module, folder: Path, *, overwrite: bool
) -> None:
    """Write a model to a folder, as training into that folder would have left it.

    Args:
        files: all of its files but the weights.
        network: with its weights.
        folder: to write to.
        overwrite: replace the model that is in it, once all is written.

    Raises:
        InputError: the folder is in use, or the model was never trained.
    """
    if record_in(files) is None:
        raise InputError(
            "this model was never trained, so there is nothing to save; regard.train trains"
        )
    if (folder / CONFIG).is_file() and not overwrite:
        raise InputError(
            f"{folder} already holds a model; overwrite=True replaces it, or choose another folder"
        )
    with writing(folder, "save", overwrite=overwrite):
        place = begin_next(folder)
        try:
            _write_all(files, network, place, name=folder.name)
            replace_by_next(folder)
        finally:
            discard_next(folder)


def save_foreign(save: Callable[[Path], None], folder: Path) -> None:
    """Write a model that another library writes, whole or not at all.

    Args:
        save: writes it to an empty folder.
        folder: new or empty.

    Raises:
        InputError: the folder holds something.
    """
    with new_folder(folder, "a new folder for a pretrained model") as place:
        save(place)


@contextmanager
def new_folder(folder: Path, wanted: str) -> Iterator[Path]:
    """A folder that becomes `folder` when the block ends, and disappears if it ends early.

    Args:
        folder: new or empty.
        wanted: what to choose if it is neither, for the error.

    Raises:
        InputError: the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; choose {wanted}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        unfinished = Path(parent) / "unfinished"
        unfinished.mkdir()
        yield unfinished
        unfinished.replace(folder)  # an empty folder may be replaced


def _write_all(files: Mapping[str, bytes], network: nn.Module, place: Path, *, name: str) -> None:
    for file, content in files.items():
        if file == CARD_FILE:
            content = renamed(content.decode("utf-8", errors="replace"), name).encode()
        if file not in (CONFIG, RECORD):
            with atomic_write(place / file) as unfinished:
                unfinished.write_bytes(content)
    record = record_in(files)
    assert record is not None
    config = sealed_config(place, parse_config(files[record], place / record))
    save_weights(network, place / WEIGHTS_FILE, belongs_to=config[IDENTITY])
    write_record(place, config)
