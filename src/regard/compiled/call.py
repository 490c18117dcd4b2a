"""Calls of kernels that are too short for threads of their own.

Starting a thread, or getting a turn on a processor where torch's threads still spin, takes longer than
such a call: one step of decoding, say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regard.compiled.jit import numba_type, specialize

__all__ = ["call_serial"]

_FUNCTIONS: dict[Any, Callable[..., None]] = {}
"""Machine code by kernel and kinds of arguments: making Numba's types takes as long as a short call."""


def call_serial(kernel: Any, *arguments: Any) -> None:
    """Runs `kernel(*arguments)` in this thread, without the GIL.

    Args:
        kernel: a `compiled` function.
        arguments: numbers, and arrays: contiguous ones where they have one or two axes, of any stride
            where they have more.
    """
    kinds = tuple((a.dtype, a.ndim) if isinstance(a, np.ndarray) else type(a) for a in arguments)
    found = _FUNCTIONS.get((kernel, kinds))
    if found is None:
        found = specialize(kernel, tuple(numba_type(argument) for argument in arguments))
        _FUNCTIONS[kernel, kinds] = found
    found(*arguments)
