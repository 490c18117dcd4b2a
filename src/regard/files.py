"""Atomic writing: a file is there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from regard.errors import RegardError

__all__ = ["atomic_write", "remove_unfinished"]

_SUFFIX = ".unfinished"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to `path` once everything is on disk.

    If the block ends early (an exception, a kill, a full disk), a file that was there stays as it was.

    Args:
        path: of the file to write.

    Raises:
        RegardError: the disk is full or the folder cannot be written.

    For example::

        with atomic_write("model.safetensors") as unfinished:
            save_file(tensors, unfinished)
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        yield unfinished
        os.chmod(unfinished, _default_mode())  # safetensors makes files only their owner can read
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if _is_full(error):
            raise RegardError(
                f"{path}: the disk is full; the file before it is untouched: "
                "free some space and go on"
            ) from error
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise RegardError(
                f"{path}: cannot be written ({reason}); choose another folder"
            ) from error
        raise


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that killed processes left in `folder`."""
    for file in Path(folder).glob(f".*{_SUFFIX}"):
        file.unlink(missing_ok=True)


@cache
def _default_mode() -> int:
    """The permissions of a new file under this process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _is_full(error: BaseException) -> bool:
    # safetensors reports the operating system's error as text.
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in str(error)


def _sync_folder(folder: Path) -> None:
    # A rename is durable once the folder that holds the name is; Windows has no such call.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
