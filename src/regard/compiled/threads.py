"""Workers that share the tasks of one kernel call.

Threads are made for each call (some 50 microseconds) and end with it. So there is no pool to break at
a fork, none to share between Python threads, and none beside torch's own that could disagree with
it. Each runs one kernel without the GIL, which takes tasks from a shared counter until none is left;
every task writes to memory of its own, so the result does not depend on which worker took it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from regard.compiled.blas import Gemm
from regard.compiled.jit import machine_code

__all__ = ["run_parallel", "run_workers", "thread_count"]

MIN_PARALLEL_WORK = 2_000_000
"""Multiplications below which a second thread costs more than it saves."""


def thread_count() -> int:
    """torch's number of threads (`torch.set_num_threads`) where torch is in use, else Numba's."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    import numba

    return int(numba.get_num_threads())


def run_parallel(
    kernel: Any,
    make_workspace: Callable[[], Any],
    arguments: tuple[Any, ...],
    gemm: Gemm,
    *,
    tasks: int,
    work: float,
) -> None:
    """Runs `kernel(counter, sgemm, workspace, tasks, *arguments)` on several threads.

    Args:
        kernel: a `compiled` function that takes task numbers from `counter` until they reach `tasks`.
        make_workspace: makes the memory of one worker.
        arguments: arrays, and named tuples of arrays and numbers.
        gemm: the matrix product, whose address is `sgemm`.
        tasks: number of tasks.
        work: multiplications of all tasks, by which the number of threads is chosen.

    Raises:
        BaseException: the first that a worker raised.
    """
    counter = np.zeros(1, np.int64)
    count = 1 if work < MIN_PARALLEL_WORK else min(thread_count(), tasks)
    calls = [(counter, gemm.address, make_workspace(), tasks, *arguments) for _ in range(count)]
    function = machine_code(kernel, calls[0])

    def work_off(call: tuple[Any, ...]) -> None:
        with gemm.on_one_thread():
            function(*call)

    run_workers([partial(work_off, call) for call in calls])


def run_workers(workers: Sequence[Callable[[], None]]) -> None:
    """Runs functions side by side, each on a thread, and the first on the thread that calls.

    Raises:
        BaseException: the first that a worker raised, when all have ended.
    """
    failures: list[BaseException] = []

    def run(worker: Callable[[], None]) -> None:
        try:
            worker()
        except BaseException as failure:  # raised by the calling thread, when all have ended
            failures.append(failure)

    helpers = [threading.Thread(target=run, args=(worker,)) for worker in workers[1:]]
    for helper in helpers:
        helper.start()
    run(workers[0])
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
