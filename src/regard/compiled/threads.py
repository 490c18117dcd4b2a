"""Workers that share the tasks of one kernel call.

Threads are made for each call (some 50 microseconds) and end with it. So there is no pool to break at
a fork, none to share between Python threads, and none beside torch's own that could disagree with
it. Each runs one kernel without the GIL, which takes tasks from a shared counter until none is left;
every task writes to memory of its own, so the result does not depend on which worker took it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from regard.compiled.blas import Gemm
from regard.compiled.jit import machine_code

__all__ = ["run_parallel", "thread_count"]

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
    failures: list[BaseException] = []

    def work_off(call: tuple[Any, ...]) -> None:
        try:
            with gemm.on_one_thread():
                function(*call)
        except BaseException as failure:  # raised by the calling thread, when all have ended
            failures.append(failure)

    # The calling thread is the first worker.
    helpers = [threading.Thread(target=work_off, args=(call,)) for call in calls[1:]]
    for helper in helpers:
        helper.start()
    work_off(calls[0])
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
