"""Queue in front of the models: one thread answers requests of many clients in batches."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from regard.serving.errors import queue_full, stopping, timed_out
from regard.serving.limits import Limits

__all__ = ["Answer", "BatchQueue"]

Answer = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class _Job:
    key: Hashable
    answer: Answer
    item: Any
    future: Future[Any] = field(default_factory=Future)


class BatchQueue:
    """Jobs in order of arrival; jobs with the key of the first one join its batch.

    The next batch gathers while one is being answered. So batches grow with the load, and a single
    request is never delayed.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._open = False

    def open(self) -> None:
        """Start the thread and accept jobs."""
        self._open = True
        self._thread = threading.Thread(target=self._work, name="regard-queue", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, key: Hashable, answer: Answer, item: Any) -> Future[Any]:
        """Queue an item.

        Args:
            key: items with equal keys may be answered by one call.
            answer: maps a list of items to a list of answers; called in the queue's thread.
            item: the request.

        Raises:
            RequestError: the queue is full or not open.
        """
        job = _Job(key, answer, item)
        with self._changed:
            if not self._open:
                raise stopping()
            if len(self._jobs) >= self._limits.max_queue:
                raise queue_full(len(self._jobs))
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    async def wait(self, future: Future[Any]) -> Any:
        """Wait for the answer of a job.

        Raises:
            RequestError: the time is over; a job that has not begun is cancelled.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limits.timeout)
        except TimeoutError:
            raise timed_out(self._limits.timeout) from None

    def close(self) -> None:
        """Reject new jobs, answer those in the queue, and stop."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if running:
                _answer_batch(running)

    def _next(self) -> list[_Job]:
        with self._changed:
            while not self._jobs and self._open:
                self._changed.wait()
            key = self._jobs[0].key if self._jobs else None
            batch = [job for job in self._jobs if job.key == key][: self._limits.max_batch]
            for job in batch:
                self._jobs.remove(job)
            return batch


def _answer_batch(jobs: Sequence[_Job]) -> None:
    """Answer jobs as one batch; if that fails, one by one, so that one bad job fails alone."""
    try:
        answers = jobs[0].answer([job.item for job in jobs])
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
        else:
            for job in jobs:
                _answer_batch([job])
        return
    for job, answer in zip(jobs, answers, strict=True):
        job.future.set_result(answer)
