"""A worker process of a server: loads the models, answers one batch after another.

The server starts it (`python -m regard.serving.worker DESCRIPTOR`) with one end of a socket. It ends when the
server closes the other end, or dies, in whatever way.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from regard.cancel import cancelled_if
from regard.errors import RegardError
from regard.serving.logs import log_to_stderr
from regard.serving.messages import Answered, Batch, Cancel, Content, Draft, Failed, Ready, Start
from regard.serving.registry import ModelRegistry, run_batch
from regard.serving.snapshot import load_from

__all__ = ["main"]

_LAST_STEP = 1.0  # seconds for the step of a model that is under way when the server has gone


def main(descriptor: int) -> None:
    """Run a worker until its server has gone.

    Args:
        descriptor: of this process's end of the socket.
    """
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # the server gets them, too, and says when to end
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        start = connection.recv()
        assert isinstance(start, Start)
        with log_to_stderr(start.log_format, worker=start.number):
            try:
                models = {
                    name: load_from(place, of, precision=start.precision)
                    for name, place, of in start.places
                }
                registry = ModelRegistry(models)
            except Exception as error:
                connection.send(_failed(error))
                return
            connection.send(Ready(registry.infos))
            _Worker(connection, registry, start.number).run()


class _Worker:
    """Answers batches in the main thread, while another one reads what the server says."""

    def __init__(self, connection: Connection, registry: ModelRegistry, number: int) -> None:
        self.connection = connection
        self.registry = registry
        self.number = number
        self.batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.cancelled = -1
        self.gone = False
        self.sending = threading.Lock()

    def run(self) -> None:
        threading.Thread(target=self._receive, name="regard-server", daemon=True).start()
        while (batch := self.batches.get()) is not None:
            try:
                with cancelled_if(partial(self._in_vain, batch.number)):
                    answer: Answered | Failed = Answered(self._answer(batch))
            except Exception as error:
                answer = _failed(error)
            self._send(answer)

    def _in_vain(self, batch: int) -> bool:
        return self.gone or self.cancelled == batch

    def _receive(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                message = self.connection.recv()
                if isinstance(message, Cancel):
                    self.cancelled = message.number
                else:
                    self.batches.put(message)
        self.gone = True
        self.batches.put(None)
        end = threading.Timer(_LAST_STEP, os._exit, [1])
        end.daemon = True
        end.start()

    def _answer(self, batch: Batch) -> list[Content]:
        items: Sequence[Any] = [
            replace(item, on_draft=partial(self._draft, index)) if index in batch.drafted else item
            for index, item in enumerate(batch.items)
        ]
        model = self.registry.models[batch.model]
        return run_batch(batch.handler, batch.model, model, items, worker=self.number)

    def _draft(self, index: int, text: str) -> None:
        self._send(Draft(index, text))

    def _send(self, message: Draft | Answered | Failed) -> None:
        with self.sending, suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)


def _failed(error: Exception) -> Failed:
    """The message of an error that another process is to raise."""
    trace = "" if isinstance(error, RegardError) else traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made here; some errors cannot be made again
    except Exception:  # whatever the error holds decides what pickle raises
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Failed(error, trace)


if __name__ == "__main__":
    main(int(sys.argv[1]))
