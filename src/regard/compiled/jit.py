"""Compiling the kernels: Numba's settings, its cache on disk, and a word to whoever waits.

No compiler is needed on the user's machine: Numba carries LLVM. The first call on a machine compiles for
some seconds and stores the result beside the source (or in the user's cache folder where that is read-only);
later processes load it in well under a tenth of a second.
"""
# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, call-arg, no-any-return"

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

__all__ = [
    "bits_as_float",
    "compiled",
    "contiguous",
    "float_as_bits",
    "inlined",
    "kernel_type",
    "larger",
    "next_index",
    "round_to_even",
    "specialised",
    "spliced",
    "wide_vectors",
]

PATIENCE = 2.0
"""Seconds after which a waiting user is told why."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""What LLVM may do to float arithmetic: fuse, reorder sums, forget the sign of zero. Infinities and
NaN keep their meaning: -inf is a masked score, and a NaN must come out where it went in."""

# Without Numba's run time there is no counting of references, whose atomic operations took a third of
# the time outside of the products; so kernels allocate nothing, and get their memory from Python.
OPTIONS: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "_nrt": False}

inlined: Any = numba.njit(forceinline=True, **OPTIONS)
"""For functions that are part of a kernel's loop; a cache of their own would be of no use."""

spliced: Any = numba.njit(inline="always", **OPTIONS)
"""For those that return a part of an array, which without the run time only a splice can."""


def compiled(function: Callable[..., Any]) -> Any:
    """A function compiled without the GIL and cached on disk."""
    dispatcher = numba.njit(nogil=True, **OPTIONS)(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # nowhere to write: every process compiles
        return dispatcher
    with suppress(AttributeError, TypeError):
        # Numba looks only at the file of the function; a helper in another file may have changed.
        index = dispatcher._cache._cache_file
        index._source_stamp = (*index._source_stamp, _sources())
    return dispatcher


@cache
def _sources() -> str:
    """One hash of all files that hold compiled code."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for folder in (package / "compiled", package / "attention" / "kernels" / "fused"):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def specialised(dispatcher: Any, types: tuple[Any, ...]) -> Callable[..., None]:
    """The compiled function for these types, from memory, from disk or made now.

    Calling the dispatcher itself would compile again for every layout of the arrays it meets.
    """
    found = dispatcher.overloads.get(types)
    if found is None:
        with _patience():
            dispatcher.compile(types)
        found = dispatcher.overloads[types]
    return found.entry_point


@contextmanager
def _patience() -> Iterator[None]:
    """Tells a user on a terminal, after `PATIENCE` seconds, that this is a compilation."""
    if not sys.stderr.isatty():
        yield
        return
    started = time.perf_counter()
    notice = "regard: compiling the attention kernel for this machine, once ..."
    timer = threading.Timer(PATIENCE, lambda: print(notice, end="", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        took = time.perf_counter() - started
        if took > PATIENCE:
            print(f" done in {took:.0f} s", file=sys.stderr, flush=True)


def kernel_type(argument: Any) -> Any:
    """The Numba type a kernel is compiled for, of numbers, arrays and named tuples of them.

    Arrays of users have three or four axes and any stride; those of fewer axes are ours, in order.
    """
    if isinstance(argument, np.ndarray):
        layout: Any = "A" if argument.ndim > 2 else "C"
        return numba.types.Array(numba.from_dtype(argument.dtype), argument.ndim, layout)
    if isinstance(argument, tuple):
        parts = [kernel_type(part) for part in argument]
        return numba.types.NamedTuple(parts, type(argument))
    return numba.typeof(argument)


_float = ir.FloatType()
_word = ir.IntType(32)


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """`a if a > b else b`, so `b` where one is NaN; unlike Python's `max` without a branch."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return numba.float32(numba.float32, numba.float32), emit


@intrinsic
def round_to_even(typing: Any, x: Any) -> Any:
    """The nearest whole float; `round` and `math.floor` give an int64, four times as wide."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_float, [_float])
        return builder.call(
            builder.module.declare_intrinsic("llvm.rint", [_float], kind), arguments
        )

    return numba.float32(numba.float32), emit


@intrinsic
def float_as_bits(typing: Any, x: Any) -> Any:
    """The 32 bits of a float."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _word)

    return numba.int32(numba.float32), emit


@intrinsic
def bits_as_float(typing: Any, x: Any) -> Any:
    """The float of 32 bits."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _float)

    return numba.float32(numba.int32), emit


@intrinsic
def wide_vectors(typing: Any) -> Any:
    """Called in a function, lets its loops use the widest vectors the processor has.

    LLVM keeps to 256 bits on processors with AVX-512, for fear of their clock; on those that lower
    it, the products around these loops have done so already.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` takes only the attributes it knows by name.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return numba.void(), emit


@intrinsic
def contiguous(typing: Any, row: Any) -> Any:
    """Promises that a vector of unknown stride has stride 1, so that loops over it vectorise."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, signature.return_type, arguments[0])

    return row.copy(layout="C")(row), emit


@intrinsic
def next_index(typing: Any, counter: Any) -> Any:
    """Takes the next number from a counter that threads share, an `int64` array of one element."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return numba.int64(counter), emit
