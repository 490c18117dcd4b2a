"""Products with short vectors that lie apart in memory, such as the keys of a beam's ancestors.

LLVM unrolls a loop over such a vector until it reads 64 floats at a time, and so reads the 32 of a head one
by one. Here vectors of 16 are written out; what is left of a size that 16 does not divide is done by floats.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils

from regard.compiled.jit import intrinsic

__all__ = ["add_scaled_rows", "dot_rows"]

FAST = ("contract", "reassoc", "nsz")
"""As in `jit.FAST_MATH`, which holds for Numba's own operations alone."""

STEPS = (32, 16, 1)
"""Floats of one step. 32 are two vectors of the widest kind, whose sums do not wait for one another."""

_float, _long = ir.FloatType(), ir.IntType(64)


@intrinsic
def dot_rows(typing: Any, vector: Any, rows: Any, first: Any, count: Any, out: Any) -> Any:
    """`out[i] = vector . rows[first[i] : first[i] + vector.size]` for `i < count`.

    `vector`, `rows` and `out` are contiguous float32 of one axis, `first` int64; nothing is checked.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, rows, first, out = _arrays(context, builder, signature, arguments)
        size = builder.extract_value(vector.shape, 0)
        for kind, step, times, begin in _parts(builder, size):
            exists = builder.icmp_signed(">", times, ir.Constant(_long, 0))
            with builder.if_then(exists), cgutils.for_range(builder, arguments[3]) as row:
                start = builder.load(builder.gep(first.data, [row.index]))
                total = cgutils.alloca_once(builder, kind)
                builder.store(_zero(kind, step), total)
                with cgutils.for_range(builder, times) as loop:
                    at = _position(builder, begin, loop.index, step)
                    a = _load(builder, vector.data, at, kind)
                    b = _load(builder, rows.data, builder.add(start, at), kind)
                    _add_product(builder, total, a, b)
                place = builder.gep(out.data, [row.index])
                # What the parts before it gave, of which the first may be any.
                isfirst = builder.icmp_signed("==", begin, ir.Constant(_long, 0))
                before = builder.select(isfirst, ir.Constant(_float, 0.0), builder.load(place))
                builder.store(_sum(builder, before, builder.load(total), step), place)
        return context.get_dummy_value()

    return numba.void(vector, rows, first, numba.intp, out), emit


@intrinsic
def add_scaled_rows(typing: Any, weights: Any, rows: Any, first: Any, count: Any, out: Any) -> Any:
    """`out = sum of weights[i] * rows[first[i] : first[i] + out.size]` over `i < count`.

    `weights`, `rows` and `out` are contiguous float32 of one axis, `first` int64; nothing is checked.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, rows, first, out = _arrays(context, builder, signature, arguments)
        size = builder.extract_value(out.shape, 0)
        for kind, step, times, begin in _parts(builder, size):
            total = cgutils.alloca_once(builder, kind)
            with cgutils.for_range(builder, times) as loop:
                at = _position(builder, begin, loop.index, step)
                builder.store(_zero(kind, step), total)
                with cgutils.for_range(builder, arguments[3]) as row:
                    start = builder.load(builder.gep(first.data, [row.index]))
                    weight = builder.load(builder.gep(weights.data, [row.index]))
                    value = _load(builder, rows.data, builder.add(start, at), kind)
                    _add_product(builder, total, _spread(builder, weight, step), value)
                builder.store(builder.load(total), _address(builder, out.data, at, kind), align=4)
        return context.get_dummy_value()

    return numba.void(weights, rows, first, numba.intp, out), emit


def _arrays(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """The structures of the arguments that are arrays: all but the fourth."""
    return [
        context.make_array(kind)(context, builder, argument)
        for number, (kind, argument) in enumerate(zip(signature.args, arguments, strict=True))
        if number != 3
    ]


def _parts(builder: Any, size: Any) -> list[tuple[Any, int, Any, Any]]:
    """A vector as pieces of 32, 16 and 1 floats: type, size, number and first position of each kind."""
    parts = []
    begin = ir.Constant(_long, 0)
    for step in STEPS:
        kind = _float if step == 1 else ir.VectorType(_float, step)
        bits = ir.Constant(_long, step.bit_length() - 1)
        times = builder.ashr(builder.sub(size, begin), bits)
        parts.append((kind, step, times, begin))
        begin = builder.add(begin, builder.shl(times, bits))
    return parts


def _sum(builder: Any, start: Any, value: Any, step: int) -> Any:
    """`start` plus the numbers of a vector, or a number."""
    if step == 1:
        return builder.fadd(start, value, flags=FAST)
    kind = ir.FunctionType(_float, [_float, value.type])
    name = f"llvm.vector.reduce.fadd.v{step}f32"
    reduce = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(reduce, [start, value], fastmath=FAST)


def _position(builder: Any, begin: Any, index: Any, step: int) -> Any:
    return builder.add(begin, builder.mul(index, ir.Constant(_long, step)))


def _address(builder: Any, data: Any, position: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [position]), kind.as_pointer())


def _load(builder: Any, data: Any, position: Any, kind: Any) -> Any:
    return builder.load(_address(builder, data, position, kind), align=4)


def _zero(kind: Any, step: int) -> Any:
    return ir.Constant(kind, 0.0 if step == 1 else [0.0] * step)


def _spread(builder: Any, number: Any, step: int) -> Any:
    """A number in every place of a vector of `step`."""
    if step == 1:
        return number
    undefined = ir.Constant(ir.VectorType(_float, step), ir.Undefined)
    single = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), step), [0] * step)
    return builder.shuffle_vector(single, single, places)


def _add_product(builder: Any, total: Any, a: Any, b: Any) -> None:
    product = builder.fmul(a, b, flags=FAST)
    builder.store(builder.fadd(builder.load(total), product, flags=FAST), total)
