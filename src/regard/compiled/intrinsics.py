"""Single instructions of LLVM that Numba has no name for, on numbers.

An intrinsic is a function that gives its type and a function that emits its instructions where it is called.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core.imputils import impl_ret_borrowed

from regard.compiled.jit import intrinsic

__all__ = [
    "assume_contiguous",
    "bits_as_float",
    "float_as_bits",
    "larger",
    "next_index",
    "round_to_even",
    "wide_vectors",
]

_float = ir.FloatType()
_word = ir.IntType(32)


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """`a if a > b else b`, so `b` where one is NaN; unlike Python's `max` without a branch.

    Between vectors it is one instruction. LLVM's `maxnum` is one, too, but only where it may assume that there
    is no NaN.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return numba.float32(numba.float32, numba.float32), emit


@intrinsic
def round_to_even(typing: Any, x: Any) -> Any:
    """The nearest whole float; `round` and `math.floor` give an int64, which halves the vectors."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_float, [_float])
        return builder.call(
            builder.module.declare_intrinsic("llvm.rint", [_float], kind), arguments
        )

    return numba.float32(numba.float32), emit


@intrinsic
def float_as_bits(typing: Any, x: Any) -> Any:
    """The 32 bits of a float, as an int32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _word)

    return numba.int32(numba.float32), emit


@intrinsic
def bits_as_float(typing: Any, x: Any) -> Any:
    """The float that the 32 bits of an int32 are."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _float)

    return numba.float32(numba.int32), emit


@intrinsic
def wide_vectors(typing: Any) -> Any:
    """Lets the loops of the function that calls it use the widest vectors of the processor.

    LLVM keeps to 256 bits on processors with AVX-512, since some lower their clock for wider ones; on
    those the matrix products around these loops have lowered it already.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` takes only the attributes it knows by name.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return numba.void(), emit


@intrinsic
def assume_contiguous(typing: Any, row: Any) -> Any:
    """The vector itself, whose stride the compiler may take for 1, so that loops over it vectorise.

    Nothing is checked: the caller knows that the elements lie side by side.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, signature.return_type, arguments[0])

    return row.copy(layout="C")(row), emit


@intrinsic
def next_index(typing: Any, counter: Any) -> Any:
    """Takes the next number from a counter that threads share, an int64 array of one element."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        # "monotonic": each number is taken once; no other memory is ordered by it.
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return numba.int64(counter), emit
