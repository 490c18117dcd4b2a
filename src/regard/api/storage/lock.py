"""The lock on a model's folder: one process writes into it at a time; nobody who reads is stopped.

The kernel's lock (`flock`) on the file `.lock` decides, not its content: the kernel takes the lock back from a
process that dies in any way, so that a stale one needs no guess, and two processes that find one at the same
time cannot both take it over, which with files that are created and deleted they can. `filelock`, which torch
brings, does the same but cannot say who holds it. The content names the holder, and decides where the kernel's
lock does not reach: on network file systems that know no locks, or keep them from other hosts.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from regard.api.storage.folder import LOCK
from regard.errors import InputError, RegardError

__all__ = ["Holder", "locked"]

_ATTEMPTS = 100
"""How often a lock file is opened that its holder deletes at that moment."""

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held: set[int] = set()


@dataclass(frozen=True)
class Holder:
    """Process that writes into a folder, as its lock file names it.

    Attributes:
        pid: its number.
        host: name of its host.
        boot: identity of the host's kernel since it was started; equal in all containers of a host.
        started: when the process started, in ticks of that kernel: numbers of processes are used again.
        since: time at which it took the lock, in ISO 8601.
        doing: verb, such as `"train"`.
    """

    pid: int
    host: str
    boot: str
    started: str
    since: str
    doing: str

    @classmethod
    def here(cls, doing: str) -> Holder:
        """Make the holder that is this process, now."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        pid = os.getpid()
        return cls(pid, socket.gethostname(), _boot(), _start_of(pid), now, doing)

    @property
    def on_this_host(self) -> bool:
        """Whether its numbers of processes are ours."""
        return self.host == socket.gethostname()

    @property
    def under_this_kernel(self) -> bool:
        """Whether it runs on this host, perhaps in another container."""
        return self.boot != "" and self.boot == _boot()

    @property
    def alive(self) -> bool:
        """Whether the process still runs; it must be one of this host."""
        if self.boot != _boot():
            return False  # the host was started anew
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's
        return self.started == _start_of(self.pid)

    def __str__(self) -> str:
        if self.pid == os.getpid() and self.on_this_host:
            return f"this process (regard {self.doing}, since {self.since})"
        return f"process {self.pid} on {self.host} (regard {self.doing}, since {self.since})"


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Context in which this process alone writes into a model's folder.

    Args:
        folder: of the model; it exists.
        doing: verb that writes, for others who want to.

    Raises:
        InputError: another process writes there, or one on another host may; names it, and what to do.
        RegardError: the folder cannot be written to.
    """
    descriptor = _acquire(folder, doing)
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a child that was forked meanwhile
            # Deleted while it is held: who finds it locked opens it anew, and sees another file or none.
            if _is_at(descriptor, folder / LOCK):
                (folder / LOCK).unlink(missing_ok=True)
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(folder: Path, doing: str) -> int:
    path = folder / LOCK
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RegardError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        try:
            kernel = _flock(descriptor)
            holder = _read(descriptor)
            if kernel is False:
                raise InputError(_busy(folder, holder or _read_later(descriptor)))
            if _is_at(descriptor, path):
                if holder is not None:
                    _check_stale(folder, holder, kernel=kernel is True)
                content = json.dumps(asdict(Holder.here(doing))).encode() + b"\n"
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, content, 0)
                return descriptor
        except BaseException:  # a signal, too: an open descriptor holds the lock
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has ended and deleted it meanwhile
    raise InputError(_busy(folder, None))


def _flock(descriptor: int) -> bool | None:
    """Take the kernel's lock; `False` if another process has it, `None` where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _check_stale(folder: Path, holder: Holder, *, kernel: bool) -> None:
    """Make sure that the process a lock file names is no more; `kernel` says that the kernel is sure.

    Raises:
        InputError: it lives, or nobody here can know.
    """
    if not (holder.on_this_host or (kernel and holder.under_this_kernel)):
        raise InputError(
            f"{folder} is locked by {holder}, which cannot be asked from here; if that run is over, "
            f"delete {folder / LOCK} and try again"
        )
    if not kernel and holder.alive:
        raise InputError(_busy(folder, holder))


def _busy(folder: Path, holder: Holder | None) -> str:
    stop = f", stop it (kill {holder.pid})" if holder is not None else ""
    return (
        f"{folder} is being written by {holder or 'another process'}, and two at a time would mix up their "
        f"files: wait until it ends{stop}, or choose another folder"
    )


def _read(descriptor: int) -> Holder | None:
    """The holder that a lock file names; `None` if it was just made, or its writer was killed at once."""
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _read_later(descriptor: int) -> Holder | None:
    """The holder, which took the lock a moment ago and is about to write its name."""
    for _ in range(50):
        time.sleep(0.01)
        if (holder := _read(descriptor)) is not None:
            return holder
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Start time of a process in the kernel's ticks; empty where nobody tells."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[19]  # after the name, which may hold anything


def _close_held() -> None:
    """Give up the locks of the parent: a child that outlives it must not keep them."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)
