"""Batches side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["side_by_side"]

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(work: Callable[[A], B], batches: Sequence[A], *, device: torch.device) -> list[B]:
    """`work` on each batch, in order; on a processor as many at a time as torch has threads.

    A step of decoding is many small operations. Shared among threads, each waits for the last of them; with a
    thread per batch none waits. torch's count of threads is kept per thread, which is what makes this
    possible, and is what it was afterwards. Whoever autocasts, which is kept per thread too, is answered
    one by one.
    """
    count = torch.get_num_threads()
    threads = min(count, len(batches))
    if device.type != "cpu" or threads == 1 or torch.is_autocast_enabled("cpu"):
        return [work(batch) for batch in batches]
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, batches))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(count)
