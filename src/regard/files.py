"""Files: written whole or not at all, and known by the hash of their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

from regard.errors import RegardError

__all__ = ["atomic_write", "content_sha256", "file_sha256", "remove_unfinished", "sync_folder"]

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
        sync_folder(path.parent)
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


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal; computed once for each state of the file.

    Args:
        path: of the file. It is taken to be unchanged while its size, inode and times of change are.

    Raises:
        OSError: it cannot be read.
    """
    status = os.stat(path)
    times = status.st_mtime_ns, status.st_ctime_ns
    if time.time_ns() - max(times) < _CLOCK_STEP:
        return _sha256.__wrapped__(os.fspath(path), ())
    state = (status.st_dev, status.st_ino, status.st_size, *times)
    return _sha256(os.path.abspath(path), state)


_CLOCK_STEP = 2_000_000_000
"""Nanoseconds after a change in which another one may leave the same time: FAT counts in 2 seconds."""


@lru_cache(maxsize=256)
def _sha256(path: str, state: tuple[int, ...]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(content: object) -> str:
    """SHA-256 of plain data as JSON holds it, whatever the order of its keys and the layout of the text.

    >>> content_sha256({"a": 1, "b": [2.5]}) == content_sha256({"b": [2.5], "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


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


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder durable: a name is on disk once the folder that holds it is."""
    # Windows has no such call.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
