"""Compilation of kernels by Numba: its settings, types of arguments, and a notice to whoever waits.

No compiler is needed on the user's machine: Numba carries LLVM. The first call on a machine compiles for
some seconds and stores the result beside the source (or in the user's cache folder where that is read-only;
see `cache`); later processes load it in well under a tenth of a second.
"""
# mypy: disable-error-code="no-untyped-call, no-any-return"

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numba
import numba.extending
import numpy as np

from regard.compiled.cache import SourceCache, warn_not_kept

__all__ = [
    "compiled",
    "inlined",
    "inlined_ir",
    "intrinsic",
    "machine_code",
    "numba_type",
    "specialize",
]

NOTICE_SECONDS = 2.0
"""Seconds of compilation after which a waiting user is told why."""

FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
"""What LLVM may do to float arithmetic: fuse, reorder sums, forget the sign of zero, divide by a reciprocal.

Not in the list: "nnan" and "ninf". Infinities and NaN keep their meaning, as -inf is the score of a masked key,
and a NaN must come out where it went in.
"""

# Without Numba's run time (`_nrt`) there is no counting of references, whose atomic operations took a third
# of the time outside of the products; so kernels allocate nothing, and get their memory from Python.
OPTIONS: dict[str, Any] = {"fastmath": FAST_MATH, "error_model": "numpy", "_nrt": False}

inlined: Callable[[Callable[..., Any]], Any] = numba.njit(forceinline=True, **OPTIONS)
"""Decorator of functions that LLVM inlines into a kernel; they are cached as a part of it."""

inlined_ir: Callable[[Callable[..., Any]], Any] = numba.njit(inline="always", **OPTIONS)
"""Decorator of functions that return a view of an array: Numba inlines them before it compiles, since a view
cannot be returned without the run time."""

intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic
"""Decorator of functions that emit LLVM's instructions themselves. They are called without the first parameter,
the typing context that Numba gives them."""


def compiled(function: Callable[..., Any]) -> Any:
    """Decorator of kernels: compiled without the GIL and cached on disk.

    Returns:
        Numba's dispatcher of the function. Call it through `threads.run_parallel` or `call.call_serial`.
    """
    dispatcher: Any = numba.njit(nogil=True, **OPTIONS)(function)
    with suppress(RuntimeError):  # nowhere to write: `specialize` says so when it compiles
        dispatcher._cache = SourceCache(dispatcher)
    return dispatcher


_MACHINE_CODE: dict[Any, Callable[..., None]] = {}
"""Machine code by kernel and kinds of arguments: making Numba's types takes longer than a short call."""


def machine_code(dispatcher: Any, arguments: tuple[Any, ...]) -> Callable[..., None]:
    """The machine code of a kernel for arguments of such types."""
    kinds = (dispatcher, _kind(arguments))
    found = _MACHINE_CODE.get(kinds)
    if found is None:
        found = specialize(dispatcher, tuple(numba_type(argument) for argument in arguments))
        _MACHINE_CODE[kinds] = found
    return found


def _kind(argument: Any) -> Any:
    """What `numba_type` depends on, cheaply hashed."""
    if isinstance(argument, np.ndarray):
        return argument.dtype.char, argument.ndim
    if isinstance(argument, tuple):
        return type(argument), *map(_kind, argument)
    return type(argument)


def specialize(dispatcher: Any, types: tuple[Any, ...]) -> Callable[..., None]:
    """The machine code of a kernel for these types, from memory, from disk or compiled now.

    Calling the dispatcher itself would compile again for every memory layout of the arrays that it meets.
    """
    found = dispatcher.overloads.get(types)
    if found is None:
        with _notice():
            dispatcher.compile(types)
        if not isinstance(dispatcher._cache, SourceCache):
            warn_not_kept("no folder of a cache can be written")
        found = dispatcher.overloads[types]
    return found.entry_point


@contextmanager
def _notice() -> Iterator[None]:
    """Tells a user on a terminal, after `NOTICE_SECONDS`, that this is a compilation."""
    if not sys.stderr.isatty():
        yield
        return
    started = time.perf_counter()
    notice = "regard: compiling numerical code for this machine, once ..."
    timer = threading.Timer(
        NOTICE_SECONDS, lambda: print(notice, end="", file=sys.stderr, flush=True)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        took = time.perf_counter() - started
        if took > NOTICE_SECONDS:
            print(f" done in {took:.0f} s", file=sys.stderr, flush=True)


def numba_type(argument: Any) -> Any:
    """The Numba type that a kernel is compiled for: of a number, an array, or a named tuple of them.

    Arrays of three or more axes are the user's and may have any stride (layout "A"); those of fewer
    are made by this package and contiguous (layout "C").
    """
    if isinstance(argument, np.ndarray):
        layout: Any = "A" if argument.ndim > 2 else "C"
        return numba.types.Array(numba.from_dtype(argument.dtype), argument.ndim, layout)
    if isinstance(argument, tuple):
        parts = [numba_type(part) for part in argument]
        return numba.types.NamedTuple(parts, type(argument))
    return numba.typeof(argument)
