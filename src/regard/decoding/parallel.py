"""Batches in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import torch

__all__ = ["parallel_map"]

A = TypeVar("A")
B = TypeVar("B")


def parallel_map(
    function: Callable[[A], B],
    batches: Sequence[A],
    *,
    device: torch.device,
    one_thread: bool = False,
) -> list[B]:
    """Apply `function` to each batch, on a CPU in as many threads as torch may use.

    A decoding step is many small operations. When torch shares each of them among threads, all wait
    for the slowest every time; with a thread per batch none waits. That works because torch keeps its
    number of threads per thread. Autocast is per thread too and would be lost, so under autocast the
    batches are done one by one.

    Args:
        function: called with one batch at a time.
        batches: any objects.
        device: of the model; on other devices than a CPU the batches are done one by one.
        one_thread: whether torch has one thread for a single batch as well, so that a batch is computed
            in the same way however many others there are.

    Returns:
        Results in the order of the batches.
    """
    count = torch.get_num_threads()
    threads = max(1, min(count, len(batches)))
    serial = threads == 1 and not one_thread
    if device.type != "cpu" or serial or torch.is_autocast_enabled("cpu"):
        return [function(batch) for batch in batches]
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        # A context is entered by one thread at a time; what cancels the caller cancels every batch.
        contexts = [copy_context() for _ in batches]
        return list(
            pool.map(lambda context, batch: context.run(function, batch), contexts, batches)
        )
    finally:
        pool.shutdown(cancel_futures=True)
        # The count last set in any thread is what new threads begin with, so it is set back.
        torch.set_num_threads(count)
