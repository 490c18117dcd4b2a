"""Workers for the tiles of one call.

Threads are made for each call (some 50 microseconds) and gone after it. So there is no pool to break at
a fork, none to share between Python threads, and none beside torch's own that could disagree with
it. Each runs one compiled function without the GIL, which takes tiles from a shared counter until none
is left; every tile writes to places of its own, so the result does not depend on who took it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from regard.compiled.blas import Gemm
from regard.compiled.jit import kernel_type, specialised

__all__ = ["run", "thread_count"]

SMALL = 2_000_000
"""Multiplications below which a second thread costs more than it saves."""


def thread_count() -> int:
    """torch's number of threads (`torch.set_num_threads`) where torch is in use, else Numba's."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    import numba

    return int(numba.get_num_threads())


def run(
    kernel: Any,
    memory: Callable[[], Any],
    arguments: tuple[Any, ...],
    gemm: Gemm,
    *,
    tasks: int,
    work: float,
) -> None:
    """Runs `kernel(counter, sgemm, memory, tasks, *arguments)` on as many threads as there is work for.

    Args:
        kernel: a `compiled` function that takes task numbers from `counter` up to `tasks`.
        memory: makes a worker's own.
        arguments: arrays and named tuples of arrays and numbers.
        gemm: the matrix product.
        tasks: how many there are to take.
        work: multiplications in all.
    """
    counter = np.zeros(1, np.int64)
    count = 1 if work < SMALL else min(thread_count(), tasks)
    calls = [(counter, gemm.address, memory(), tasks, *arguments) for _ in range(count)]
    compiled = specialised(kernel, tuple(kernel_type(argument) for argument in calls[0]))
    failures: list[BaseException] = []

    def work_off(call: tuple[Any, ...]) -> None:
        try:
            with gemm.on_one_thread():
                compiled(*call)
        except BaseException as failure:
            failures.append(failure)

    helpers = [threading.Thread(target=work_off, args=(call,)) for call in calls[1:]]
    for helper in helpers:
        helper.start()
    work_off(calls[0])
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
