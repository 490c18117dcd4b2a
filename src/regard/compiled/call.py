"""Calls of kernels that are too short for threads of their own.

Starting a thread, or getting a turn on a processor where torch's threads still spin, takes longer than
such a call: one step of decoding, say.
"""

from __future__ import annotations

from typing import Any

from regard.compiled.jit import machine_code

__all__ = ["call_serial"]


def call_serial(kernel: Any, *arguments: Any) -> None:
    """Runs `kernel(*arguments)` in this thread, without the GIL.

    Args:
        kernel: a `compiled` function.
        arguments: numbers, and arrays: contiguous ones where they have one or two axes, of any stride
            where they have more.
    """
    machine_code(kernel, arguments)(*arguments)
