"""A group of processes played by threads, and small problems."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regard.distributed.ring import Pending, Ring, Tensors


@dataclass
class Mail:
    """What the threads of a group pass to each other."""

    size: int
    boxes: list[Any] = field(init=False)
    shared: list[Any] = field(init=False)
    barrier: threading.Barrier = field(init=False)

    def __post_init__(self) -> None:
        self.boxes = [queue.Queue() for _ in range(self.size)]
        self.shared = [None] * self.size
        self.barrier = threading.Barrier(self.size, timeout=60)


@dataclass(frozen=True)
class ThreadRing(Ring):
    """A ring of threads in one process: messages are copies."""

    mail: Any = None

    def exchange(self, tensors: Tensors, length: int) -> Pending:
        self.mail.boxes[(self.rank + 1) % self.size].put(tuple(x.clone() for x in tensors))

        def wait() -> Tensors:
            received = self.mail.boxes[self.rank].get(timeout=60)
            assert all(x.shape[2] == length for x in received)
            return received

        return Pending(wait)

    def _all(self, value: Any) -> list[Any]:
        self.mail.shared[self.rank] = value
        self.mail.barrier.wait()
        found = list(self.mail.shared)
        self.mail.barrier.wait()
        return found

    def all_gather(self, numbers: Sequence[int]) -> list[list[int]]:
        return self._all(list(numbers))

    def all_reduce(self, x: Tensor, operation: Any) -> Tensor:
        parts = torch.stack(self._all(x.clone()))
        return x.copy_(parts.sum(0) if "SUM" in str(operation) else parts.amax(0))

    def gather(self, x: Tensor, shapes: Sequence[tuple[int, ...]], to: int | None) -> list[Tensor]:
        found = self._all(x.detach())
        return found if to is None or to == self.rank else []


def run_threads(size: int, work: Callable[[Ring], Any]) -> list[Any]:
    """`work(ring)` of every rank, each in a thread of its own; the first error is raised."""
    mail, results, errors = Mail(size), [None] * size, []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRing(rank, size, mail=mail))
        except BaseException as error:
            errors.append(error)
            mail.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
    return results


@pytest.fixture(scope="session")
def threads() -> Callable[[int, Callable[[Ring], Any]], list[Any]]:
    return run_threads


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
