"""Calls of compiled functions that are too short for threads of their own.

To start a thread, or to find it on a processor where torch's still spins, takes longer than a step of decoding
asks of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regard.compiled.jit import kernel_type, specialised

__all__ = ["call"]

_FUNCTIONS: dict[Any, Callable[..., None]] = {}
"""By kernel and kinds of arguments: to make Numba's types takes as long as a short call."""


def call(kernel: Any, *arguments: Any) -> None:
    """`kernel(*arguments)`, arrays and numbers, in this thread, without the GIL.

    Args:
        kernel: a `compiled` function.
        arguments: arrays of one or two axes without gaps, of more axes with any; numbers.
    """
    kinds = tuple((a.dtype, a.ndim) if isinstance(a, np.ndarray) else type(a) for a in arguments)
    found = _FUNCTIONS.get((kernel, kinds))
    if found is None:
        found = specialised(kernel, tuple(kernel_type(argument) for argument in arguments))
        _FUNCTIONS[kernel, kinds] = found
    found(*arguments)
