"""Rows that know nothing of each other, shared out among threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from regard.attention.kernels.compiling import kernel_type, specialised
from regard.attention.kernels.threads import thread_count

__all__ = ["in_pieces"]

SMALL = 2_000_000
"""Multiplications below which a second thread costs more than it saves."""


def in_pieces(kernel: Any, arguments: tuple[Any, ...], rows: int, *, work: float) -> None:
    """Runs `kernel(first, last, *arguments)` for all rows, each thread with a piece of them.

    Args:
        kernel: a `compiled` function.
        arguments: arrays and numbers.
        rows: how many.
        work: multiplications in all.
    """
    count = 1 if work < SMALL else min(thread_count(), rows)
    edges = [rows * i // count for i in range(count + 1)]
    calls = [(first, last, *arguments) for first, last in itertools.pairwise(edges)]
    function = _function(kernel, calls[0])
    helpers = [threading.Thread(target=function, args=call) for call in calls[1:]]
    for helper in helpers:
        helper.start()
    function(*calls[0])
    for helper in helpers:
        helper.join()


_FUNCTIONS: dict[Any, Callable[..., None]] = {}
"""By kernel and kinds of arguments: to make Numba's types takes as long as a short call."""


def _function(kernel: Any, arguments: tuple[Any, ...]) -> Callable[..., None]:
    kinds = tuple((a.dtype, a.ndim) if isinstance(a, np.ndarray) else type(a) for a in arguments)
    found = _FUNCTIONS.get((kernel, kinds))
    if found is None:
        found = specialised(kernel, tuple(kernel_type(argument) for argument in arguments))
        _FUNCTIONS[kernel, kinds] = found
    return found
