"""The queue: many clients ask, one thread answers, as many at once as go together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from regard.serving.errors import busy, late, stopping
from regard.serving.limits import Limits

__all__ = ["Answer", "Desk"]

Answer = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class _Job:
    key: Hashable
    answer: Answer
    item: Any
    future: Future[Any] = field(default_factory=Future)


class Desk:
    """Jobs wait in order; those of the same key as the first are answered together with it.

    While one batch is being answered the next one gathers, so batches grow with the load by
    themselves and nobody waits for company when there is none.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._open = False

    def open(self) -> None:
        """Begin to take questions."""
        self._open = True
        self._thread = threading.Thread(target=self._work, name="regard-desk", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, key: Hashable, answer: Answer, item: Any) -> Future[Any]:
        """Queue an item.

        Args:
            key: items of the same key may be answered by one call.
            answer: a list of items to a list of answers, called in the desk's thread.
            item: the question.

        Raises:
            Refusal: the queue is full, or the desk is not open.
        """
        job = _Job(key, answer, item)
        with self._changed:
            if not self._open:
                raise stopping()
            if len(self._jobs) >= self._limits.waiting:
                raise busy(len(self._jobs))
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    async def wait(self, future: Future[Any]) -> Any:
        """The answer to what was put.

        Raises:
            Refusal: it took too long; if nobody has begun with it, nobody will.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limits.patience)
        except TimeoutError:
            raise late(self._limits.patience) from None

    def close(self) -> None:
        """Take nothing new, answer what waits, and end."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if wanted:
                _settle(wanted)

    def _next(self) -> list[_Job]:
        with self._changed:
            while not self._jobs and self._open:
                self._changed.wait()
            key = self._jobs[0].key if self._jobs else None
            alike = [job for job in self._jobs if job.key == key][: self._limits.together]
            for job in alike:
                self._jobs.remove(job)
            return alike


def _settle(jobs: Sequence[_Job]) -> None:
    """Answer some jobs together; if that fails, each alone, so that one cannot spoil the others."""
    try:
        answers = jobs[0].answer([job.item for job in jobs])
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
        else:
            for job in jobs:
                _settle([job])
        return
    for job, answer in zip(jobs, answers, strict=True):
        job.future.set_result(answer)
