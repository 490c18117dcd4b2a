"""Vector operations that LLVM does not find by itself: comparing to masks, sorted insertion, segment sums.

Vectors are written in one width whatever the processor; LLVM splits them into as many registers as they need. A
"lane" is one element of a vector. Loads have `align=4`, the alignment of a float: rows begin anywhere.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils

from regard.compiled.jit import intrinsic

__all__ = [
    "LANES",
    "MASK_LANES",
    "SEGMENTS",
    "count_trailing_zeros",
    "insert_lanes",
    "kth_largest_lane",
    "mask_above",
    "mask_at_least",
    "raise_lanes",
    "segment_maxima",
    "segment_sums",
]

LANES = 16
"""Floats of one vector: 64 bytes, a cache line. Lists of largest scores are allocated in multiples of it."""

MASK_LANES = 64
"""Floats that are compared at a time, as many as a word has bits. Rows of a tile are allocated in multiples."""

SEGMENTS = 8
"""Segments of a row that are reduced together."""

_float = ir.FloatType()
_word = ir.IntType(32)

_Join = Callable[[Any, Any, Any], Any]
"""Emits the operation that joins two vectors of partial results: `_sum` or `_larger`."""


def _long(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _short(builder: Any, value: Any) -> Any:
    return builder.trunc(value, _word)


def _lane_numbers(lanes: int) -> Any:
    """0, 1, 2, ..."""
    return ir.Constant(ir.VectorType(_word, lanes), list(range(lanes)))


def _shuffle(builder: Any, a: Any, b: Any, order: Iterable[int]) -> Any:
    """Picks lanes by number, those of `b` counted on from those of `a`."""
    picked = list(order)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_word, len(picked)), picked))


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector whose lanes all hold `scalar`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(_word, 0))
    return _shuffle(builder, single, undefined, [0] * lanes)


def _address(context: Any, builder: Any, kind: Any, array: Any, start: Any, lanes: int) -> Any:
    """The address of `array[start : start + lanes]` as one vector; the array is contiguous."""
    data = context.make_array(kind)(context, builder, array).data
    address = builder.gep(data, [start])
    return builder.bitcast(address, ir.VectorType(data.type.pointee, lanes).as_pointer())


def _larger(builder: Any, a: Any, b: Any) -> Any:
    """`intrinsics.larger`, lane by lane: one instruction, and what it makes of a NaN is defined."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _sum(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=("reassoc", "nsz"))


def _reduce(builder: Any, join: _Join, vector: Any, lanes: int = 1) -> Any:
    """Joins the halves of a vector until `lanes` are left; with 1, returns a number."""
    while vector.type.count > lanes:
        half = vector.type.count // 2
        halves = (range(half), range(half, 2 * half))
        vector = join(builder, *(_shuffle(builder, vector, vector, part) for part in halves))
    return vector if lanes > 1 else builder.extract_element(vector, ir.Constant(_word, 0))


def _moved_up(builder: Any, vector: Any, first: Any) -> Any:
    """Moves every lane to the next one; `first` enters lane 0 and the last lane drops out."""
    others = _splat(builder, first, LANES)
    return _shuffle(builder, vector, others, [LANES, *range(LANES - 1)])


def _compared(context: Any, builder: Any, kind: Any, arguments: Any, sign: str) -> Any:
    """A word whose bit `i` says how `row[start + i]` compares with a threshold."""
    scores = builder.load(
        _address(context, builder, kind, arguments[0], arguments[1], MASK_LANES), align=4
    )
    threshold = _splat(builder, arguments[2], MASK_LANES)
    return builder.bitcast(builder.fcmp_ordered(sign, scores, threshold), ir.IntType(MASK_LANES))


@intrinsic
def mask_above(typing: Any, row: Any, start: Any, threshold: Any) -> Any:
    """A uint64 whose bit `i` is set where `row[start + i] > threshold`, of 64 floats; never for a NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _compared(context, builder, signature.args[0], arguments, ">")

    return numba.uint64(row, numba.intp, numba.float32), emit


@intrinsic
def mask_at_least(typing: Any, row: Any, start: Any, threshold: Any) -> Any:
    """A uint64 whose bit `i` is set where `row[start + i] >= threshold`, of 64 floats; never for a NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _compared(context, builder, signature.args[0], arguments, ">=")

    return numba.uint64(row, numba.intp, numba.float32), emit


@intrinsic
def count_trailing_zeros(typing: Any, word: Any) -> Any:
    """The number of the lowest bit that is set, of a uint64 other than 0."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return numba.int64(numba.uint64), emit


@intrinsic
def raise_lanes(typing: Any, lanes: Any, row: Any, start: Any) -> Any:
    """`lanes[i] = max(lanes[i], row[start + i])` for `MASK_LANES` floats, none of them NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _address(context, builder, signature.args[0], arguments[0], _long(0), MASK_LANES)
        source = _address(
            context, builder, signature.args[1], arguments[1], arguments[2], MASK_LANES
        )
        old, new = (builder.load(pointer, align=4) for pointer in (target, source))
        builder.store(_larger(builder, old, new), target, align=4)
        return context.get_dummy_value()

    return numba.void(lanes, row, numba.intp), emit


@intrinsic
def kth_largest_lane(typing: Any, lanes: Any, k: Any) -> Any:
    """Folds `MASK_LANES` floats to `LANES` maxima and returns the `k`th largest of these.

    By counting, without a branch: a lane is among the `k` largest where fewer than `k` lanes are above
    it, and the least of those is the answer.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], _long(0), MASK_LANES)
        lanes = _reduce(builder, _larger, builder.load(address, align=4), LANES)
        above = ir.Constant(ir.VectorType(_word, LANES), [0] * LANES)
        for i in range(LANES):
            other = builder.extract_element(lanes, ir.Constant(_word, i))
            is_above = builder.fcmp_ordered(">", _splat(builder, other, LANES), lanes)
            above = builder.add(above, builder.zext(is_above, above.type))
        k = _splat(builder, _short(builder, arguments[1]), LANES)
        infinite = ir.Constant(lanes.type, [float("inf")] * LANES)
        largest = builder.select(builder.icmp_signed("<", above, k), lanes, infinite)
        return _reduce(builder, _smaller, largest)

    return numba.float32(lanes, numba.intp), emit


@intrinsic
def insert_lanes(
    typing: Any, values: Any, indices: Any, start: Any, value_before: Any, index_before: Any,
    value: Any, index: Any,
) -> Any:  # fmt: skip
    """Inserts a value into `LANES` entries of a descending list, without a branch; the last drops out.

    `values[start:]` is that part of the list, `indices` holds the index of each value, and
    `value_before`, `index_before` are the entry in front of this part. Every lane takes one of three::

        values    9 7 4 2       value 5 enters
        kept      9 7 . .       where the old value is at least the new one
        new       . . 5 .       else where the value in front is at least the new one
        moved up  . . . 4       else the value in front

    So a value enters behind its equals, and where it belongs in front of `start`, `value_before` moves in.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = [
            _address(context, builder, kind, array, arguments[2], LANES)
            for kind, array in zip(signature.args[:2], arguments[:2], strict=True)
        ]
        old_values, old_indices = (builder.load(pointer, align=4) for pointer in addresses)
        new_value, new_index = (_splat(builder, x, LANES) for x in arguments[5:])
        moved_values, moved_indices = (
            _moved_up(builder, vector, first)
            for vector, first in zip((old_values, old_indices), arguments[3:5], strict=True)
        )
        stays = builder.fcmp_ordered(">=", old_values, new_value)
        enters = builder.fcmp_ordered(">=", moved_values, new_value)
        for pointer, old, moved, new in (
            (addresses[0], old_values, moved_values, new_value),
            (addresses[1], old_indices, moved_indices, new_index),
        ):
            builder.store(
                builder.select(stays, old, builder.select(enters, new, moved)), pointer, align=4
            )
        return context.get_dummy_value()

    signature = numba.void(
        values, indices, numba.intp, numba.float32, numba.int32, numba.float32, numba.int32
    )
    return signature, emit


# Segmented reduction
#
# A row of scores is cut into segments of 64 to 128 (the chunks of keys of a tile), and the sum or the
# maximum of each is wanted. Done one by one, the last steps of each, from lane to lane, would take as
# long as all before them. So up to SEGMENTS = 8 of them are reduced together, in three stages:
#
#   row        |----segment 0----|---segment 1---|-- ... --|----segment 7----|
#                  |  _reduce_segment: 16 floats at a time are joined to one vector
#   parts      |16 lanes|16 lanes| ... |16 lanes|              8 vectors
#                  |  _reduce_vectors: pairs of vectors are shuffled together and joined, 8 -> 4 -> 2 -> 1
#   vector     |0 0|1 1|2 2|3 3|4 4|5 5|6 6|7 7|               2 lanes a segment, and the last join
#                  |
#   out        |0|1|2|3|4|5|6|7|                               one number a segment
#                  |  _reduce
#   returned   the result of all of them
#
# `_segment_reduction` makes this function once for sums and once for maxima: LLVM code differs only in how
# two vectors are joined and in what an empty lane holds.


def _segment_reduction(join: _Join, neutral: float) -> Any:
    """An intrinsic that reduces up to `SEGMENTS` segments of a row to one number each.

    The intrinsic reduces the segments `[first, first + count)` into `out`, and returns the result of
    all of them. Its arguments:

    row: contiguous float32; `LANES` floats after its end may be read, whatever they hold;
    edges: int64, the beginning of each segment and the end of the last, counted from `edges[0]`;
    first: the number of the first segment;
    count: of segments, at most `SEGMENTS`;
    parts: memory of `SEGMENTS * LANES` floats;
    out: takes the results from `out[first]` on, and must have room for `SEGMENTS` there; entries beyond
        `count` keep their values.

    Args:
        join: `_sum` or `_larger`.
        neutral: what changes no result: 0 for sums, -inf for maxima.
    """
    # The total of a row's sums continues in float64; a maximum is exact in float32.
    result = numba.float64 if join is _sum else numba.float32

    @intrinsic
    def reduce_segments(
        typing: Any, row: Any, edges: Any, first: Any, count: Any, parts: Any, out: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            row, edges, first, count, parts, out = arguments
            kinds = signature.args
            # Stage 1: a loop over the segments; each leaves one vector in `parts`.
            edge = context.make_array(kinds[1])(context, builder, edges).data
            origin = builder.load(edge)
            with cgutils.for_range(builder, count) as loop:
                here = builder.gep(edge, [builder.add(first, loop.index)])
                low = builder.sub(builder.load(here), origin)
                high = builder.sub(builder.load(builder.gep(here, [_long(1)])), origin)
                at = lambda i: _address(context, builder, kinds[0], row, i, LANES)  # noqa: E731
                found = _reduce_segment(builder, join, neutral, at, low, high)
                slot = builder.mul(loop.index, _long(LANES))
                address = _address(context, builder, kinds[4], parts, slot, LANES)
                builder.store(found, address, align=4)
            # Stage 2: all vectors, also those of missing segments, which hold what was there before.
            vectors = [
                builder.load(_address(context, builder, kinds[4], parts, _long(i), LANES), align=4)
                for i in range(0, SEGMENTS * LANES, LANES)
            ]
            found = _reduce_vectors(builder, join, vectors)
            # Results of missing segments must not reach `out`, which may hold later ones already.
            address = _address(context, builder, kinds[5], out, first, SEGMENTS)
            exists = builder.icmp_signed(
                "<", _lane_numbers(SEGMENTS), _splat(builder, _short(builder, count), SEGMENTS)
            )
            before = builder.load(address, align=4)
            builder.store(builder.select(exists, found, before), address, align=4)
            # Stage 3: nor may they reach the result of all.
            nothing = ir.Constant(found.type, [neutral] * SEGMENTS)
            found = builder.select(exists, found, nothing)
            if join is _sum:
                found = builder.fpext(found, ir.VectorType(ir.DoubleType(), SEGMENTS))
            return _reduce(builder, join, found)

        return result(row, edges, numba.intp, numba.intp, parts, out), emit

    return reduce_segments


def _reduce_segment(
    builder: Any, join: _Join, neutral: float, at: Callable[[Any], Any], low: Any, high: Any
) -> Any:
    """One vector that the floats `[low, high)` of a row are joined to, 16 at a time.

    Args:
        builder: takes the instructions.
        join: of two vectors.
        neutral: held by lanes beyond the end.
        at: gives the address of the vector that begins at a number of floats.
        low: number of the segment's first float.
        high: number of the one after its last.
    """
    start = ir.Constant(ir.VectorType(_float, LANES), [neutral] * LANES)
    kept = cgutils.alloca_once_value(builder, start)
    whole = builder.ashr(builder.sub(high, low), _long(LANES.bit_length() - 1))
    end = builder.add(low, builder.mul(whole, _long(LANES)))
    with cgutils.for_range(builder, whole) as loop:
        offset = builder.add(low, builder.mul(loop.index, _long(LANES)))
        more = builder.load(at(offset), align=4)
        builder.store(join(builder, builder.load(kept), more), kept)
    # What is left, fewer than 16, is read as a whole vector whose lanes beyond `high` are replaced.
    with builder.if_then(builder.icmp_signed("<", end, high), likely=False):
        left = _splat(builder, _short(builder, builder.sub(high, end)), LANES)
        inside = builder.icmp_signed("<", _lane_numbers(LANES), left)
        more = builder.select(inside, builder.load(at(end), align=4), start)
        builder.store(join(builder, builder.load(kept), more), kept)
    return builder.load(kept)


def _reduce_vectors(builder: Any, join: _Join, vectors: list[Any]) -> Any:
    """Reduces each of `SEGMENTS` vectors to a number, all at once: a vector of these, in order.

    Each round joins vector `i` with vector `i + half` into one that holds, by turns, blocks of both,
    half as wide as before; so every instruction works on 16 lanes. With two vectors a, b of 4 lanes::

        a0 a1 a2 a3   b0 b1 b2 b3     low and high halves of each block, by turns of a and b:
        a0 a1 b0 b1 + a2 a3 b2 b3     joined: 2 lanes a vector in place of 4
    """
    block = LANES
    while len(vectors) > 1:
        half = len(vectors) // 2
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [_halve_blocks(builder, join, a, b, block) for a, b in pairs]
        block //= 2
    even_and_odd = (_shuffle(builder, vectors[0], vectors[0], range(i, LANES, 2)) for i in (0, 1))
    return join(builder, *even_and_odd)


def _halve_blocks(builder: Any, join: _Join, a: Any, b: Any, block: int) -> Any:
    """Joins the two halves of every block of lanes of `a` and `b`; blocks of the two take turns."""
    halves = []
    for offset in (0, block // 2):
        order: list[int] = []
        for start in range(offset, LANES, block):
            for vector in (0, LANES):
                order += range(vector + start, vector + start + block // 2)
        halves.append(_shuffle(builder, a, b, order))
    return join(builder, *halves)


segment_sums: Any = _segment_reduction(_sum, 0.0)
"""Sums of segments of a row; see `_segment_reduction` for the arguments."""

segment_maxima: Any = _segment_reduction(_larger, -math.inf)
"""Maxima of segments of a row; see `_segment_reduction` for the arguments."""
