"""Replacing the model of a folder: the one that is in it stays until the new one has weights.

The new run writes into the hidden folder `.next` of the model's folder. Once it has weights, `.next` is renamed
to `.replacing`: in that one step the model is replaced. What remains is to tidy, by whoever comes next if the
process is killed meanwhile: the old files are deleted, `config.json` last, and the new ones moved up,
`config.json` last.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from regard.api.storage.folder import CONFIG, LOCK, NEXT, acquire_folder, clear, weights_sha256
from regard.api.storage.lock import locked
from regard.errors import InputError, ModelFolderError, RegardError
from regard.files import remove_unfinished, sync_folder
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE

__all__ = [
    "begin_next",
    "check_weights",
    "discard_next",
    "finish_replacing",
    "next_of",
    "read_whole",
    "replace_by_next",
    "writing",
]

_REPLACING = ".replacing"

_PATIENCE = 10.0
"""Seconds in which a process that replaces a model has done so: it renames and deletes a few files."""

_ATTEMPTS = 20
"""How often a model is read that is written meanwhile. In training its files change minutes apart."""

T = TypeVar("T")


@contextmanager
def writing(
    folder: Path, doing: str, *, resume: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """Context in which a new or resumed model may be written to a folder, by this process alone.

    Args:
        folder: of the model; made if it is not there.
        doing: verb that writes.
        resume: go on with the run that is in it.
        overwrite: replace the model that is in it.

    Raises:
        InputError: it is in use, now or for other things.
        ModelFolderError: there is nothing to resume.
    """
    made = not folder.exists()
    if not (folder / LOCK).is_file():  # else who holds it matters more
        acquire_folder(folder, resume=resume, overwrite=overwrite)
    try:
        with locked(folder, doing):
            for place in (folder, next_of(folder), folder / _REPLACING):
                remove_unfinished(place)
                remove_unfinished((place / RUN_FILE).parent)
            finish_replacing(folder)
            # Once more, for what another process has done until now.
            acquire_folder(folder, resume=resume, overwrite=overwrite)
            yield
    finally:
        if made:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def next_of(folder: Path) -> Path:
    """Place of the run that is to replace the model of a folder, whether there is one or not."""
    return folder / NEXT


def begin_next(folder: Path) -> Path:
    """Make an empty place for a run that is to replace the model of a folder."""
    # Emptied, not made anew: with this folder, --resume goes on with the new run at any time.
    clear(next_of(folder))
    next_of(folder).mkdir(exist_ok=True)
    return next_of(folder)


def discard_next(folder: Path) -> None:
    """Delete the run that was to replace the model of a folder, if there is one."""
    shutil.rmtree(next_of(folder), ignore_errors=True)


def replace_by_next(folder: Path) -> None:
    """Replace the model of a folder by the one in `next_of(folder)`; needs the lock of the folder."""
    os.rename(next_of(folder), folder / _REPLACING)
    sync_folder(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """Finish what `replace_by_next` began, in this process or in one that was killed; needs the lock."""
    new = folder / _REPLACING
    if not new.is_dir():
        return
    if (new / CONFIG).is_file():
        if (folder / CONFIG).is_file():  # the old one: it is the last to go
            clear(folder)
        for path in sorted(new.iterdir(), key=lambda path: path.name == CONFIG):
            os.replace(path, folder / path.name)
    shutil.rmtree(new)
    sync_folder(folder)


def check_weights(folder: Path, weights: str) -> None:
    """Compare the weights in a folder with those of a model that was loaded from it.

    Args:
        folder: of the model.
        weights: SHA-256 of the file it was loaded from.

    Raises:
        ModelFolderError: they are others by now.
    """
    if weights_sha256(folder) != weights:
        raise ModelFolderError(
            f"{folder} holds other weights than when this model was loaded from it; load it again"
        )


def read_whole(folder: Path, read: Callable[[], T]) -> T:
    """Read a model as it was at one time, also while other processes write or replace it.

    Args:
        folder: of the model.
        read: reads it; called again if the files change meanwhile.

    Raises:
        ModelFolderError: it is being replaced all the time, or was not to the end and cannot be now.
    """
    for _ in range(_ATTEMPTS):
        _wait_until_replaced(folder)
        before = _state(folder)
        try:
            found = read()
        except (RegardError, OSError):
            if _state(folder) == before:
                raise
            continue
        if _state(folder) == before:
            return found
    raise ModelFolderError(f"{folder} changes while it is read; wait until its training has ended")


def _wait_until_replaced(folder: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while (folder / _REPLACING).is_dir():
        try:
            with locked(folder, "load"):
                finish_replacing(folder)
        except InputError as error:  # by somebody who lives
            if time.monotonic() > until:
                raise ModelFolderError(f"{folder}: its model is being replaced; {error}") from error
            time.sleep(0.02)
        except (RegardError, OSError) as error:
            raise ModelFolderError(
                f"{folder}: a run that replaces its model was killed in the middle, and the rest cannot be "
                f"done here ({error}); load it once where the folder can be written"
            ) from error


def _state(folder: Path) -> tuple[object, ...]:
    """What is different after any change to a model."""
    return (
        (folder / _REPLACING).exists(),
        *map(_identity, (folder / CONFIG, folder / WEIGHTS_FILE)),
    )


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
