"""Workers of a Ray cluster, and the shards they are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from regard.engines.contracts import Done
from regard.engines.worker import Failure, Worker
from regard.errors import RegardError
from regard.version import __version__

__all__ = ["Pool"]

R = TypeVar("R")

AHEAD = 2
"""Shards that a worker holds: it begins the next one without waiting for the driver."""

WINDOW = 4
"""Shards for each worker between the result that is due and the newest shard: one slow shard stops nobody
for long, and what waits for it fits in memory."""

TRIES = 4
"""Workers that may die over a shard, or without having started, before it is an error."""


@dataclass(eq=False)
class _Task:
    """A shard with its number, and how many workers died while they held it."""

    number: int
    shard: Any
    deaths: int = 0


@dataclass(eq=False)
class _Member:
    """A worker, and the tasks it was given and has not done, by Ray's reference to their results."""

    actor: Any
    tasks: dict[Any, _Task] = field(default_factory=dict)


class Pool(Generic[R]):
    """Workers for one kind of work.

    Ray restarts actors and repeats their tasks itself, but on the node where they were; where a node is lost
    with the processors an actor needs, its shards would wait for ever. So a lost worker's shards go to those
    that are left, and its successor is given some once it has started.

    Args:
        ray: the package, in a session.
        work: what is done to each shard, pickled.
        memory: bytes that each worker needs.
    """

    def __init__(self, ray: Any, work: bytes, memory: int) -> None:
        self.work: bytes = work
        self._ray = ray
        self._work = ray.put(work)
        found = ray.cluster_resources()
        fit = found.get("memory", 0) // max(memory, 1)
        self._limit = max(1, int(min(found.get("CPU", 1), fit)))
        self._class = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(Worker)
        self._members: list[_Member] = []
        self._starting: dict[Any, Any] = {}
        self._failed_starts = 0
        self._waiting: deque[_Task] = deque()

    def close(self) -> None:
        """End all workers."""
        for actor in [*self._starting.values(), *(member.actor for member in self._members)]:
            self._ray.kill(actor)
        self._members, self._starting = [], {}

    def results(self, shards: Iterable[Any]) -> Iterator[R]:
        """Results of the shards, in their order."""
        numbered = enumerate(shards)
        found: dict[int, R] = {}
        due, newest, more = 0, -1, True
        while True:
            self._hand_out()
            if due in found:
                yield found.pop(due)
                due += 1
            elif more and len(self._waiting) < self._limit and newest - due < WINDOW * self._limit:
                number, shard = next(numbered, (newest, None))
                more, newest = number > newest, number
                if isinstance(shard, Done):
                    found[number] = shard.result
                elif more:
                    self._waiting.append(_Task(number, shard))
            elif due > newest:
                return
            else:
                found.update(self._wait())

    def _hand_out(self) -> None:
        """Give shards that wait to the workers with the fewest, and start workers if there are too few."""
        while self._waiting and self._members:
            member = min(self._members, key=lambda each: len(each.tasks))
            if len(member.tasks) >= AHEAD:
                break
            task = self._waiting.popleft()
            member.tasks[member.actor.do.remote(task.shard)] = task
        wanted = len(self._waiting) + sum(len(member.tasks) for member in self._members)
        while len(self._members) + len(self._starting) < min(wanted, self._limit):
            actor = self._class.remote(self._work)
            self._starting[actor.version.remote()] = actor

    def _wait(self) -> dict[int, R]:
        """Wait for something to happen; results by number."""
        refs = [ref for member in self._members for ref in member.tasks]
        ready, _ = self._ray.wait([*refs, *self._starting], num_returns=1)
        found: dict[int, R] = {}
        for ref in ready:
            if ref in self._starting:
                self._admit(ref)
                continue
            member = next(each for each in self._members if ref in each.tasks)
            task = member.tasks[ref]
            try:
                result = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                self._bury(member, error)
                continue
            del member.tasks[ref]
            if isinstance(result, Failure):
                result.reraise()
            found[task.number] = result
        return found

    def _admit(self, ref: Any) -> None:
        """Take a worker that has started into the pool.

        Raises:
            RegardError: it has another version of regard, or none of several could start.
        """
        actor = self._starting.pop(ref)
        try:
            version = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= TRIES:
                raise RegardError(
                    f"no worker can be started: {_last_line(error)}; each node of the cluster needs regard "
                    f"{__version__}, with what the model needs"
                ) from None
            return
        if version != __version__:
            raise RegardError(
                f"a worker has regard {version}, and this is {__version__}; install one version on every node"
            )
        self._failed_starts = 0
        self._members.append(_Member(actor))

    def _bury(self, member: _Member, error: Exception) -> None:
        """Take the shards of a dead worker back.

        Raises:
            RegardError: too many workers died over one of them.
        """
        self._members.remove(member)
        for task in reversed(member.tasks.values()):
            task.deaths += 1
            if task.deaths >= TRIES:
                raise RegardError(
                    f"{TRIES} workers died over shard {task.number + 1} ({_last_line(error)}); if memory ran "
                    "out, start a cluster with fewer processors (ray start --head --num-cpus 2) and name it in "
                    "RAY_ADDRESS"
                )
            self._waiting.appendleft(task)


def _last_line(error: Exception) -> str:
    """What happened, without Ray's advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return last.partition(" Some common causes")[0].rpartition("exit detail: ")[2].rstrip(".")
