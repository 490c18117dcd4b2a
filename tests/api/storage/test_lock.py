"""The lock on a model's folder: who holds it, when it is stale, and that nothing of it is left."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from regard.api.storage.folder import LOCK
from regard.api.storage.lock import Holder, locked
from regard.errors import InputError, RegardError

HOLD = """
import sys, time
from pathlib import Path
from regard.api.storage.lock import locked
with locked(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def plant(folder: Path, **changes: Any) -> None:
    """Write a lock file as a process that was killed leaves it."""
    holder = replace(Holder.here("train"), **changes)
    (folder / LOCK).write_text(json.dumps(asdict(holder)))


def ended_pid() -> int:
    """Number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with pytest.raises(InputError) as refused, locked(tmp_path, "trust"):
            pass
        for part in (
            f"{tmp_path} is being written by process {process.pid} on {socket.gethostname()}",
            "(regard train, since 20",
            f"stop it (kill {process.pid})",
            "choose another folder",
        ):
            assert part in str(refused.value)
        process.communicate("", timeout=60)
        assert list(tmp_path.iterdir()) == []
        with locked(tmp_path, "trust"):
            pass
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == []


def test_one_process_does_not_write_twice_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path, "train"):
        with (
            pytest.raises(InputError, match=r"written by this process \(regard train, since"),
            locked(tmp_path, "save"),
        ):
            pass
        assert (tmp_path / LOCK).is_file()
    assert not (tmp_path / LOCK).exists()


def test_a_holder_that_has_not_written_its_name_is_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path, "train"):
        named = (tmp_path / LOCK).read_text()
        (tmp_path / LOCK).write_text("")
        timer = threading.Timer(0.05, (tmp_path / LOCK).write_text, [named])
        timer.start()
        with (
            pytest.raises(InputError, match=r"by this process \(regard train"),
            locked(tmp_path, "x"),
        ):
            pass
        timer.join()


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_error(tmp_path: Path, stop: type[BaseException]) -> None:
    with pytest.raises(stop), locked(tmp_path, "train"):
        raise stop
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert (tmp_path / LOCK).is_file()
    with locked(tmp_path, "train"):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\0" * 300])
def test_a_lock_file_without_a_holder_is_stale(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path, "train"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_holder_on_another_host_is_left_to_the_user(tmp_path: Path) -> None:
    plant(tmp_path, host="node7", boot="other", pid=4711)
    before = (tmp_path / LOCK).read_bytes()
    with (
        pytest.raises(InputError, match=r"process 4711 on node7 .* delete .*/\.lock and try again"),
        locked(tmp_path, "train"),
    ):
        pass
    assert (tmp_path / LOCK).read_bytes() == before


def test_the_kernel_knows_the_processes_of_other_containers(tmp_path: Path) -> None:
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        pytest.skip("this kernel has no identity")
    plant(tmp_path, host="container")
    with locked(tmp_path, "train"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_locks")
def test_without_locks_of_the_kernel_the_file_decides(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "train"),
        pytest.raises(InputError, match="written by this process"),
        locked(tmp_path, "trust"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    plant(tmp_path, pid=ended_pid())
    with locked(tmp_path, "train"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("changes", [{"started": "17"}, {"boot": "before"}])
def test_a_number_that_another_process_has_now_is_stale(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system does not tell when a process started")
    plant(tmp_path, **changes)
    with locked(tmp_path, "train"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_locks")
def test_without_locks_another_container_cannot_be_asked(tmp_path: Path) -> None:
    plant(tmp_path, host="container")
    with (
        pytest.raises(InputError, match=r"on container .* cannot be asked from here"),
        locked(tmp_path, "train"),
    ):
        pass


FORK = """
import os, sys
from pathlib import Path
from regard.api.storage.folder import LOCK
from regard.api.storage.lock import locked
folder = Path(sys.argv[1])
read, write = os.pipe()
with locked(folder, "train"):
    outlives = os.fork()
    if not outlives:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    leaves = os.fork()
    if leaves:
        assert os.waitpid(leaves, 0)[1] == 0
        assert (folder / LOCK).is_file()
if not leaves:  # through the end of the context
    os._exit(0)
with locked(folder, "train"):
    os.close(write)
assert os.waitpid(outlives, 0)[1] == 0
"""


def test_a_forked_child_neither_keeps_nor_removes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, timeout=60, env=environment)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RegardError, match=r"\.lock: cannot be written \(No such file"),
        locked(tmp_path / "nowhere", "train"),
    ):
        pass
