"""Vectors by name, for what LLVM makes none of by itself: ranking, shifting and folding lanes.

These vectors are as wide as is handy; LLVM cuts them into as many as a processor needs.
"""
# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, call-arg, no-any-return"

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "GROUP",
    "LANES",
    "WINDOW",
    "above",
    "count_trailing_zeros",
    "maxima_of",
    "raise_lanes",
    "ranked",
    "shift_in",
    "sums_of",
]

LANES = 16
"""Floats of one vector; a list of largest scores is allocated in multiples of it."""

WINDOW = 64
"""Floats that are compared together; rows of a tile are allocated in multiples of it."""

GROUP = 8
"""Chunks that are folded together."""

_float = ir.FloatType()
_word = ir.IntType(32)


def _long(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _short(builder: Any, value: Any) -> Any:
    return builder.trunc(value, _word)


def _order(lanes: int) -> Any:
    """0, 1, 2, ..."""
    return ir.Constant(ir.VectorType(_word, lanes), list(range(lanes)))


def _shuffle(builder: Any, a: Any, b: Any, order: Iterable[int]) -> Any:
    """Lanes of `a`, and of `b` behind them, in a new order."""
    places = list(order)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_word, len(places)), places))


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector whose lanes all hold `scalar`."""
    nothing = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    single = builder.insert_element(nothing, scalar, ir.Constant(_word, 0))
    return _shuffle(builder, single, nothing, [0] * lanes)


def _place(context: Any, builder: Any, kind: Any, array: Any, start: Any, lanes: int) -> Any:
    """Where the vector begins that lies at `start` of an array without gaps."""
    data = context.make_array(kind)(context, builder, array).data
    place = builder.gep(data, [start])
    return builder.bitcast(place, ir.VectorType(data.type.pointee, lanes).as_pointer())


def _larger(builder: Any, a: Any, b: Any) -> Any:
    """`compiling.larger`, lane by lane: one instruction, and it says what becomes of a NaN."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _sum(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=("reassoc", "nsz"))


def _reduce(builder: Any, join: Any, vector: Any, lanes: int = 1) -> Any:
    """The lanes of a vector folded to fewer, or to one number."""
    while vector.type.count > lanes:
        half = vector.type.count // 2
        parts = (range(half), range(half, 2 * half))
        vector = join(builder, *(_shuffle(builder, vector, vector, part) for part in parts))
    return vector if lanes > 1 else builder.extract_element(vector, ir.Constant(_word, 0))


def _moved_up(builder: Any, vector: Any, first: Any) -> Any:
    """Every lane one place on; `first` comes in."""
    others = _splat(builder, first, LANES)
    return _shuffle(builder, vector, others, [LANES, *range(LANES - 1)])


def _compared(context: Any, builder: Any, kind: Any, arguments: Any, sign: str) -> Any:
    """A word whose bit `i` says how `row[start + i]` compares with a threshold."""
    scores = builder.load(_place(context, builder, kind, *arguments[:2], WINDOW), align=4)
    limit = _splat(builder, arguments[2], WINDOW)
    return builder.bitcast(builder.fcmp_ordered(sign, scores, limit), ir.IntType(WINDOW))


@intrinsic
def above(typing: Any, row: Any, start: Any, threshold: Any) -> Any:
    """A word whose bit `i` says whether `row[start + i] > threshold`, for 64 floats in a row."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _compared(context, builder, signature.args[0], arguments, ">")

    return numba.uint64(row, numba.intp, numba.float32), emit


@intrinsic
def not_below(typing: Any, row: Any, start: Any, threshold: Any) -> Any:
    """The same for `row[start + i] >= threshold`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _compared(context, builder, signature.args[0], arguments, ">=")

    return numba.uint64(row, numba.intp, numba.float32), emit


@intrinsic
def raise_lanes(typing: Any, lanes: Any, row: Any, start: Any) -> Any:
    """`lanes[i] = max(lanes[i], row[start + i])` for `WINDOW` floats, none of them NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _place(context, builder, signature.args[0], arguments[0], _long(0), WINDOW)
        place = _place(context, builder, signature.args[1], *arguments[1:], WINDOW)
        old, new = (builder.load(pointer, align=4) for pointer in (target, place))
        builder.store(_larger(builder, old, new), target, align=4)
        return context.get_dummy_value()

    return numba.void(lanes, row, numba.intp), emit


@intrinsic
def ranked(typing: Any, lanes: Any, rank: Any) -> Any:
    """Folds `WINDOW` floats to `LANES` maxima and returns the `rank`th largest of these."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], arguments[0], _long(0), WINDOW)
        lanes = _reduce(builder, _larger, builder.load(place, align=4), LANES)
        above = ir.Constant(ir.VectorType(_word, LANES), [0] * LANES)
        for i in range(LANES):
            other = builder.extract_element(lanes, ir.Constant(_word, i))
            wins = builder.fcmp_ordered(">", _splat(builder, other, LANES), lanes)
            above = builder.add(above, builder.zext(wins, above.type))
        most = _splat(builder, _short(builder, arguments[1]), LANES)
        infinite = ir.Constant(lanes.type, [float("inf")] * LANES)
        high = builder.select(builder.icmp_signed("<", above, most), lanes, infinite)
        return _reduce(builder, _smaller, high)

    return numba.float32(lanes, numba.intp), emit


@intrinsic
def shift_in(
    typing: Any, values: Any, places: Any, start: Any, before: Any, place_before: Any,
    value: Any, place: Any,
) -> Any:  # fmt: skip
    """Enters `value` into `LANES` places of a descending list, and drops what falls off their end.

    `values[start:]` is the list and `places` says where each stood. `value` enters behind its equals;
    where it belongs before `start`, what stands there, `before`, moves in.
    """  # fmt: skip

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        here = [
            _place(context, builder, kind, array, arguments[2], LANES)
            for kind, array in zip(signature.args[:2], arguments[:2], strict=True)
        ]
        held, stood = (builder.load(pointer, align=4) for pointer in here)
        new, its_place = (_splat(builder, x, LANES) for x in arguments[5:])
        previous, previous_stood = (
            _moved_up(builder, vector, first)
            for vector, first in zip((held, stood), arguments[3:5], strict=True)
        )
        stays = builder.fcmp_ordered(">=", held, new)
        enters = builder.fcmp_ordered(">=", previous, new)
        for pointer, old, moved, own in (
            (here[0], held, previous, new),
            (here[1], stood, previous_stood, its_place),
        ):
            builder.store(
                builder.select(stays, old, builder.select(enters, own, moved)), pointer, align=4
            )
        return context.get_dummy_value()

    signature = numba.void(
        values, places, numba.intp, numba.float32, numba.int32, numba.float32, numba.int32
    )
    return signature, emit


@intrinsic
def count_trailing_zeros(typing: Any, word: Any) -> Any:
    """The place of the lowest bit that is set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return numba.int64(numba.uint64), emit


def _folding(join: Any, neutral: float) -> Any:
    """An intrinsic that folds up to `GROUP` chunks of a row to a number each, by `_sum` or `_larger`.

    Each chunk becomes `LANES` parts, and the parts of all chunks are folded together: one chunk after
    the other, the last few steps, from lane to lane, would take as long as all before them.

    What is made folds the chunks `[first, first + count)` into `out`, and returns what all of them
    give. It takes:

    row: as many floats as the chunks have, and `LANES` that may be read behind them;
    edges: where each chunk begins, and the end, counted from `edges[0]`;
    first: the first chunk;
    count: how many, at most `GROUP`;
    parts: room for `GROUP * LANES` floats;
    out: takes the results from `first` on; `GROUP` floats may be touched.
    """
    result = numba.float64 if join is _sum else numba.float32

    @intrinsic
    def fold(
        typing: Any, row: Any, edges: Any, first: Any, count: Any, parts: Any, out: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            row, edges, first, count, parts, out = arguments
            kinds = signature.args
            edge = context.make_array(kinds[1])(context, builder, edges).data
            origin = builder.load(edge)
            with cgutils.for_range(builder, count) as loop:
                here = builder.gep(edge, [builder.add(first, loop.index)])
                low = builder.sub(builder.load(here), origin)
                high = builder.sub(builder.load(builder.gep(here, [_long(1)])), origin)
                at = lambda i: _place(context, builder, kinds[0], row, i, LANES)  # noqa: E731
                found = _fold_chunk(builder, join, neutral, at, low, high)
                slot = builder.mul(loop.index, _long(LANES))
                place = _place(context, builder, kinds[4], parts, slot, LANES)
                builder.store(found, place, align=4)
            rows = [
                builder.load(_place(context, builder, kinds[4], parts, _long(i), LANES), align=4)
                for i in range(0, GROUP * LANES, LANES)
            ]
            found = _fold_lanes(builder, join, rows)
            place = _place(context, builder, kinds[5], out, first, GROUP)
            real = builder.icmp_signed(
                "<", _order(GROUP), _splat(builder, _short(builder, count), GROUP)
            )
            builder.store(builder.select(real, found, builder.load(place, align=4)), place, align=4)
            found = builder.select(real, found, ir.Constant(found.type, [neutral] * GROUP))
            if join is _sum:
                found = builder.fpext(found, ir.VectorType(ir.DoubleType(), GROUP))
            return _reduce(builder, join, found)

        return result(row, edges, numba.intp, numba.intp, parts, out), emit

    return fold


def _fold_chunk(builder: Any, join: Any, neutral: float, at: Any, low: Any, high: Any) -> Any:
    """The `LANES` parts of the floats `[low, high)`, which lie at the vectors `at(place)`."""
    start = ir.Constant(ir.VectorType(_float, LANES), [neutral] * LANES)
    kept = cgutils.alloca_once_value(builder, start)
    whole = builder.ashr(builder.sub(high, low), _long(LANES.bit_length() - 1))
    end = builder.add(low, builder.mul(whole, _long(LANES)))
    with cgutils.for_range(builder, whole) as loop:
        place = builder.add(low, builder.mul(loop.index, _long(LANES)))
        more = builder.load(at(place), align=4)
        builder.store(join(builder, builder.load(kept), more), kept)
    with builder.if_then(builder.icmp_signed("<", end, high), likely=False):
        left = _splat(builder, _short(builder, builder.sub(high, end)), LANES)
        real = builder.icmp_signed("<", _order(LANES), left)
        more = builder.select(real, builder.load(at(end), align=4), start)
        builder.store(join(builder, builder.load(kept), more), kept)
    return builder.load(kept)


def _fold_lanes(builder: Any, join: Any, rows: list[Any]) -> Any:
    """Folds each of `GROUP` vectors to a number, all at once: a vector of these."""
    block = LANES
    while len(rows) > 1:
        half = len(rows) // 2
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [_halve_blocks(builder, join, a, b, block) for a, b in pairs]
        block //= 2
    both = (_shuffle(builder, rows[0], rows[0], range(i, LANES, 2)) for i in (0, 1))
    return join(builder, *both)


def _halve_blocks(builder: Any, join: Any, a: Any, b: Any, block: int) -> Any:
    """Folds every block of lanes of `a` and `b` to half its size; blocks of the two take turns."""
    halves = []
    for offset in (0, block // 2):
        order: list[int] = []
        for start in range(offset, LANES, block):
            for vector in (0, LANES):
                order += range(vector + start, vector + start + block // 2)
        halves.append(_shuffle(builder, a, b, order))
    return join(builder, *halves)


sums_of: Any = _folding(_sum, 0.0)
maxima_of: Any = _folding(_larger, -math.inf)
