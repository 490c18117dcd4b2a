"""Worker processes of a server: started, given batches, started again when they die, ended.

The server keeps all that clients see in one process: connections, limits, the queue, the counters. What costs
time, the runs of the models, is done by the workers. A batch goes to one that has none.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from os import PathLike
from typing import Any, Self

from regard.cancel import check_cancelled
from regard.choices import Precision
from regard.compiled.cores import physical_cores
from regard.serving import schemas as m
from regard.serving.errors import stopping
from regard.serving.logs import LogFormat
from regard.serving.messages import Content, Handler
from regard.serving.registry import ModelList
from regard.serving.snapshot import snapshots_of
from regard.serving.worker_process import WorkerProcess

__all__ = ["WorkerPool"]

_LOOK = 0.05  # seconds between two questions whether anybody still waits for a batch
_LONGEST_PAUSE = 30.0  # seconds before a worker is started that did not come up again and again

_log = logging.getLogger(__name__)


class WorkerPool(ModelList):
    """Processes that answer batches; they share the memory of the weights.

    Args:
        folders: of models, read once, now.
        count: of processes.
        patience: seconds in which a process must come to its next step once nobody waits for its batch.
        log_format: of the lines that they write to standard error.
        precision: of the matrix products with which the models answer.

    Raises:
        InputError: no model, two of the same name, or one that gives no answer.
        ModelFolderError: a folder without a model, or with a damaged one.
        RegardError: a process cannot be started.

    Attributes:
        restarts: how often each worker was started again, by number.
        batches: answered by each worker, by number.
    """

    def __init__(
        self,
        folders: Sequence[str | PathLike[str]],
        count: int,
        *,
        patience: float = 30.0,
        log_format: LogFormat = "text",
        precision: Precision = "float32",
    ) -> None:
        self.restarts: dict[int, int] = dict.fromkeys(range(1, count + 1), 0)
        self.batches: dict[int, int] = dict(self.restarts)
        self._patience = patience
        self._log_format: LogFormat = log_format
        self._precision: Precision = precision
        self._threads = max(1, _all_threads() // count)
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._workers: dict[int, WorkerProcess] = {}
        self._idle: list[WorkerProcess] = []
        self._snapshots = snapshots_of(folders)
        loaded: list[Future[list[m.ModelInfo]]] = [Future() for _ in self.restarts]
        self._keepers = [
            threading.Thread(
                target=self._keep, args=(number, first), name=f"regard-worker-{number}"
            )
            for number, first in zip(self.restarts, loaded, strict=True)
        ]
        try:
            for keeper in self._keepers:
                keeper.start()
            wait(loaded)
            super().__init__(loaded[0].result())
            for each in loaded:
                each.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def workers(self) -> int:
        """Processes that answer at the same time, now."""
        return len(self.living)

    @property
    def most_workers(self) -> int:
        """Processes that answer at the same time, unless one is being started again."""
        return len(self.restarts)

    @property
    def living(self) -> list[WorkerProcess]:
        """Workers that can answer, or do."""
        with self._changed:
            return [worker for worker in self._workers.values() if worker.alive]

    def answer(self, handler: Handler, name: str, items: Sequence[Any]) -> list[Content]:
        """Answer a batch of requests by a worker that has none; waits for it.

        Args:
            handler: of the kind of request; a function of a module.
            name: of the model.
            items: requests.

        Raises:
            WorkerDiedError: the process ended before it answered.
            AbandonedError: nobody waits for the answer any more.
            RequestError: the server is stopping.
        """
        worker = self._take()
        self.batches[worker.number] += 1
        try:
            return worker.answer(handler, name, items, patience=self._patience)
        finally:
            with self._changed:
                if worker.alive:
                    self._idle.append(worker)
                    self._changed.notify()

    def _take(self) -> WorkerProcess:
        with self._changed:
            while not self._closing.is_set():
                while self._idle:
                    worker = self._idle.pop()
                    if worker.alive:
                        return worker
                self._changed.wait(_LOOK)
                check_cancelled()
        raise stopping()

    def close(self) -> None:
        """End all workers."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            workers = list(self._workers.values())
        for worker in workers:
            worker.end()
        for keeper in self._keepers:
            if keeper.ident is not None:
                keeper.join()
        for snapshot in self._snapshots:
            snapshot.close()

    # One thread for each worker

    def _keep(self, number: int, first: Future[list[m.ModelInfo]]) -> None:
        """Start a worker, and again whenever it has ended, until the pool is closed."""
        pause = 0.0
        while not self._closing.wait(pause):
            try:
                worker, infos = self._start(number)
            except Exception as error:
                if not first.done():
                    first.set_exception(error)
                    return
                if not self._closing.is_set():
                    _log.error("worker %d cannot be started again: %s", number, error)
                pause = min(max(1.0, 2 * pause), _LONGEST_PAUSE)
                continue
            if first.done():
                self.restarts[number] += 1
            else:
                first.set_result(infos)
            pause = 0.0
            status = worker.process.wait()
            worker.end()
            if not self._closing.is_set():
                fields = {"worker": number, "status": status}
                _log.warning(
                    "worker %d ended (%s); it is started again",
                    number,
                    f"signal {-status}" if status < 0 else f"status {status}",
                    extra={"fields": fields, "kind": None},
                )

    def _start(self, number: int) -> tuple[WorkerProcess, list[m.ModelInfo]]:
        descriptors = [each for s in self._snapshots for each in s.weights.values()]
        worker = WorkerProcess(number, descriptors, threads=self._threads)
        with self._changed:
            self._workers[number] = worker
        try:
            if self._closing.is_set():  # `close` may not have seen it
                raise stopping()
            infos = worker.load(self._snapshots, self._log_format, self._precision)
        except BaseException:
            worker.end()
            raise
        with self._changed:
            self._idle.append(worker)
            self._changed.notify()
        return worker, infos


def _all_threads() -> int:
    """Threads of all workers together: `OMP_NUM_THREADS`, or as many as there are cores."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(given) if given.isdigit() else physical_cores() or os.cpu_count() or 1
