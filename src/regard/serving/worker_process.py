"""A worker process as its server sees it: start, batches, end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from regard.cancel import AbandonedError, check_cancelled
from regard.choices import Precision
from regard.errors import RegardError
from regard.serving import schemas as m
from regard.serving.errors import worker_died
from regard.serving.logs import LogFormat
from regard.serving.messages import (
    Answered,
    Batch,
    Cancel,
    Content,
    Draft,
    Failed,
    Handler,
    Ready,
    Start,
)
from regard.serving.parts import WriteItem
from regard.serving.snapshot import Snapshot

__all__ = ["WorkerProcess"]

_LOOK = 0.05  # seconds between two questions whether anybody still waits for a batch
_LAST_STEP = 0.5  # seconds for a worker to end after it was told to


class WorkerProcess:
    """A process that answers one batch at a time.

    Args:
        number: of the worker, from 1.
        descriptors: open files that the process inherits under their numbers.
        threads: of one model's run.

    Attributes:
        number: of the worker.
        process: of the system.
        batches: answered so far.
    """

    def __init__(self, number: int, descriptors: Sequence[int], *, threads: int) -> None:
        self.number: int = number
        self.batches: int = 0
        self._ready = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            handle = theirs.fileno()
            self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "regard.serving.worker", str(handle)],
                stdin=subprocess.DEVNULL,
                pass_fds=[handle, *descriptors],
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                start_new_session=True,  # Ctrl-C in a terminal is for the server alone
            )
        self._connection = Connection(os.dup(self._socket.fileno()))

    def load(
        self, snapshots: Sequence[Snapshot], log_format: LogFormat, precision: Precision
    ) -> list[m.ModelInfo]:
        """Load the models, and return what is known of them.

        Raises:
            RegardError: one cannot be loaded, or the process ended meanwhile.
        """
        with ExitStack() as stack:
            places = [(s.name, stack.enter_context(s.folder()), s.source) for s in snapshots]
            try:
                self._connection.send(Start(self.number, places, log_format, precision))
                answer = self._connection.recv()
            except (EOFError, OSError):
                raise RegardError(
                    f"worker {self.number} {self._how()} while it loaded the models; is there memory enough?"
                ) from None
        if isinstance(answer, Failed):
            raise _raised(answer)
        assert isinstance(answer, Ready)
        self._ready = True
        return answer.infos

    @property
    def alive(self) -> bool:
        """Whether it can be given a batch."""
        return self._ready and self.process.poll() is None

    def answer(
        self, handler: Handler, model: str, items: Sequence[Any], *, patience: float
    ) -> list[Content]:
        """Answer a batch.

        Args:
            handler: of the kind of request.
            model: its name.
            items: requests.
            patience: seconds in which the process must come to its next step once nobody waits; it is killed
                then.

        Raises:
            WorkerDiedError: the process ended before it answered.
            AbandonedError: nobody waits for the answer.
            Exception: as the handler raised it.
        """
        readers = {
            index: item.on_draft
            for index, item in enumerate(items)
            if isinstance(item, WriteItem) and item.on_draft is not None
        }
        plain = [replace(i, on_draft=None) if isinstance(i, WriteItem) else i for i in items]
        self.batches += 1
        try:
            self._connection.send(Batch(self.batches, handler, model, plain, tuple(readers)))
            while not isinstance(message := self._next(patience), Answered | Failed):
                assert isinstance(message, Draft)
                readers[message.index](message.text)
        except (EOFError, OSError):
            self._ready = False
            raise worker_died(self._how()) from None
        if isinstance(message, Failed):
            raise _raised(message)
        return message.contents

    def _next(self, patience: float) -> Any:
        """The next message; that nobody waits any more is passed on, once."""
        until: float | None = None
        while not self._connection.poll(_LOOK):
            if until is not None:
                if time.monotonic() > until:
                    self.process.kill()
                    until = float("inf")
                continue
            try:
                check_cancelled()
            except AbandonedError:
                self._connection.send(Cancel(self.batches))
                until = time.monotonic() + patience
        return self._connection.recv()

    def _how(self) -> str:
        """How the process ended, as a verb."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_LAST_STEP)
        status = self.process.poll()
        if status is None:
            return "does not answer"
        if status < 0:
            name = signal.Signals(-status).name
            return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"ended with status {status}"

    def end(self) -> None:
        """End the process: by closing its connection, and by force if that takes it too long."""
        self._ready = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever reads from it here is woken
        try:
            self.process.wait(_LAST_STEP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._socket.close()

    def memory(self) -> dict[str, int]:
        """Bytes of memory: `resident`, and `private`, which no other process shares; empty if it has ended."""
        kinds = {"Rss": "resident", "Private_Clean": "private", "Private_Dirty": "private"}
        found: dict[str, int] = {}
        with suppress(OSError, ValueError):
            lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]
            for name, size, _ in (line.split(maxsplit=2) for line in lines):
                kind = kinds.get(name.rstrip(":"))
                if kind is not None:
                    found[kind] = found.get(kind, 0) + 1024 * int(size)
        return found


def _raised(failed: Failed) -> Exception:
    """The error of another process, with its traceback there."""
    if failed.trace:
        failed.error.add_note(failed.trace)
    return failed.error
