"""Queue in front of the models: a thread for each worker answers requests of many clients in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from itertools import islice, zip_longest
from typing import Any

from regard.cancel import AbandonedError, cancelled_if
from regard.serving.errors import (
    RequestError,
    WorkerDiedError,
    pushed_out,
    queue_full,
    stopping,
    timed_out,
)
from regard.serving.limits import Limits

__all__ = ["Answer", "BatchQueue", "Job"]

Answer = Callable[[Sequence[Any]], Sequence[Any]]

_LAST_STEP = (
    0.3  # seconds that the step of a model may take which is under way when the queue closes
)


class Job(Future[Any]):
    """A request in the queue, and the future of its answer.

    Args:
        key: jobs with equal keys may be answered by one call.
        answer: maps the items of a batch to their answers.
        item: the request.
        client: who sent it.

    Attributes:
        abandoned: true once nobody waits for the answer.
        since: when it was made, in nanoseconds since 1970.
    """

    def __init__(self, key: Hashable, answer: Answer, item: Any, client: Hashable) -> None:
        super().__init__()
        self.key: Hashable = key
        self.answer: Answer = answer
        self.item: Any = item
        self.client: Hashable = client
        self.abandoned: bool = False
        self.since: int = time.time_ns()

    def resolve(self, answer: Any = None, error: BaseException | None = None) -> None:
        """Set the answer or an error, unless there is one."""
        with suppress(InvalidStateError):
            if error is None:
                self.set_result(answer)
            else:
                self.set_exception(error)


class BatchQueue:
    """Clients take turns; jobs with the key of the first one join its batch.

    The next batch gathers while one is being answered. So batches grow with the load, and a single
    request is never delayed. Within the jobs of one client the order is that of arrival.

    When the queue is full, a client with fewer jobs than another takes the place of the other's latest one
    (longest queue drop, Suter et al. 1998): nobody can fill the queue against anybody else, and alone a
    client has all of it.

    Args:
        limits: of jobs, batches and time.
        threads: batches that are answered at the same time.
    """

    def __init__(self, limits: Limits, threads: int = 1) -> None:
        self._limits = limits
        self._waiting: dict[Hashable, deque[Job]] = {}  # by client, whose turn is next first
        self._running: dict[int, Sequence[Job]] = {}  # by thread
        self._count_of_threads = threads
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._open = False
        self._end = 0.0
        self.cancelled: int = 0
        """Jobs that were given up before their answer, since the server began."""

    def open(self) -> None:
        """Start the threads and accept jobs."""
        self._open = True
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"regard-queue-{n}", daemon=True)
            for n in range(self._count_of_threads)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def put(self, key: Hashable, answer: Answer, item: Any, client: Hashable = None) -> Job:
        """Queue an item.

        Args:
            key: items with equal keys may be answered by one call.
            answer: maps a list of items to a list of answers; called in a thread of the queue.
            item: the request.
            client: who sent it; clients share the queue evenly.

        Raises:
            RequestError: the queue is full or not open.
        """
        job = Job(key, answer, item, client)
        with self._changed:
            if not self._open:
                raise stopping()
            if self._count() >= self._limits.max_queue:
                self._make_room(client)
            self._waiting.setdefault(client, deque()).append(job)
            self._changed.notify()
        return job

    def _make_room(self, client: Hashable) -> None:
        """Push the latest job of the client with most of them out, if `client` has fewer still."""
        fullest = max(self._waiting.values(), key=len)
        own = self._waiting.get(client, ())
        if len(fullest) <= len(own) + 1:
            raise queue_full(self._count())
        latest = fullest[-1]
        self._remove(latest)
        latest.resolve(error=pushed_out(len(fullest) + 1))

    async def wait(self, job: Job) -> Any:
        """Wait for the answer of a job; whoever stops waiting abandons it.

        Raises:
            RequestError: the time is over.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self._limits.timeout)
        except TimeoutError:
            self.abandon(job)
            raise timed_out(self._limits.timeout) from None
        except asyncio.CancelledError:
            self.abandon(job)
            raise

    def abandon(self, job: Job, error: RequestError | None = None) -> None:
        """Drop a job, or stop it at its next step if no other job is answered with it."""
        with self._changed:
            self.cancelled += not job.abandoned
            job.abandoned = True
            if job in self._waiting.get(job.client, ()):
                self._remove(job)
        job.cancel() if error is None else job.resolve(error=error)

    def refuse(self) -> None:
        """Accept no more jobs; the time of grace begins for those that are here."""
        with self._changed:
            if self._open:
                self._end = time.monotonic() + self._limits.grace
            self._open = False
            self._changed.notify_all()

    def abandon_all(self) -> None:
        """Give up what waits or runs: it is answered that the server stops."""
        with self._changed:
            everywhere = [*self._running.values(), *self._waiting.values()]
        for job in [job for jobs in everywhere for job in jobs]:
            if not job.done():
                self.abandon(job, stopping())

    def close(self) -> None:
        """Refuse new jobs, answer the others within the time of grace, and stop."""
        self.refuse()
        self._join(self._end)
        if any(thread.is_alive() for thread in self._threads):
            self.abandon_all()
            self._join(time.monotonic() + _LAST_STEP)  # daemons: they end with the process

    def _join(self, until: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _remove(self, job: Job) -> None:
        jobs = self._waiting[job.client]
        jobs.remove(job)
        if not jobs:
            del self._waiting[job.client]

    def _work(self, thread: int) -> None:
        while jobs := self._next(thread):
            _answer_batch([job for job in jobs if job.set_running_or_notify_cancel()])
            with self._changed:
                self._running[thread] = ()

    def _next(self, thread: int) -> list[Job]:
        """The next batch; empty if there is none and never will be."""
        with self._changed:
            while not self._waiting and self._open:
                self._changed.wait()
            if not self._waiting:
                return []
            client = next(iter(self._waiting))
            key = self._waiting[client][0].key
            batch = list(islice(self._in_turn(key), self._limits.max_batch))
            for job in batch:
                self._remove(job)
            if client in self._waiting:  # its turn is over
                self._waiting[client] = self._waiting.pop(client)
            self._running[thread] = batch
            return batch

    def _in_turn(self, key: Hashable) -> Iterator[Job]:
        """Jobs with this key, one of each client by turns."""
        fitting = ([job for job in jobs if job.key == key] for jobs in self._waiting.values())
        for turn in zip_longest(*fitting):
            yield from (job for job in turn if job is not None)


def _answer_batch(jobs: Sequence[Job], *, again: bool = False) -> None:
    """Answer jobs as one batch; if that fails, one by one, so that one bad job fails alone.

    If the process that answers dies, each job is tried once more, alone: the process may have been killed for
    a reason of its own, but a job that kills processes must not kill one after another.
    """
    jobs = [job for job in jobs if not job.abandoned]
    if not jobs:
        return
    try:
        with cancelled_if(lambda: all(job.abandoned for job in jobs)):
            answers = jobs[0].answer([job.item for job in jobs])
    except AbandonedError as error:
        for job in jobs:
            job.resolve(error=error)
    except Exception as error:
        died = isinstance(error, WorkerDiedError)
        if len(jobs) == 1 and (again or not died):
            jobs[0].resolve(error=error)
        else:
            for job in jobs:
                _answer_batch([job], again=again or died)
    else:
        for job, answer in zip(jobs, answers, strict=True):
            job.resolve(answer)
