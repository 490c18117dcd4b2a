"""The forward pass for an NVIDIA GPU, in Triton: the recurrences of `fused/forward.py`, a tile to a program.

`forward` takes a tile of queries past all the keys it sees: output, log-sum-exp, entropy, and where the
largest weights are. `largest` makes these weights, a query at a time. `pooled` takes a tile of keys past
all queries, when the log-sum-exp of each is known, and makes the scores again: what a key received, and
the blocks of a pooled map. Nothing is added up through atomics, so equal inputs give equal bits.

Programs are numbered along one axis, tiles fastest. Sums over many tiles are kept in float64; scores
are in bits (the scale includes log2 e). All strides are counted in elements, 0 where an axis is
broadcast.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment"
# Triton's operations raise in Python: pyright takes a function that calls one for one that never returns.
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from regard.attention.kernels.fused import tile as fused_tile
from regard.compiled import math as compiled_math

__all__ = ["forward", "largest", "pooled"]

LN2 = tl.constexpr(fused_tile.LN2)
INFINITE_SCORE = tl.constexpr(float(fused_tile.INFINITE_SCORE))
LOWEST_BIAS = tl.constexpr(float(fused_tile.LOWEST_BIAS))
A1, A2, A3, A4 = (tl.constexpr(x) for x in compiled_math.TANH_NUMERATOR)
B1, B2, B3, B4 = (tl.constexpr(x) for x in compiled_math.TANH_DENOMINATOR)
TANH_SATURATION = tl.constexpr(float(compiled_math.TANH_SATURATION))
LOWEST = tl.constexpr(-(2**63))
"""Below the entry of any key or chunk."""


@triton.jit
def _load_vectors(
    start, positions, exists, stride, width, WIDTH: tl.constexpr, PADDED: tl.constexpr, SOME: tl.constexpr
):  # fmt: skip
    """Vectors at some positions: `(positions, WIDTH)`, zeros beyond `width` and where none exists.

    `PADDED` says that `width` is less than `WIDTH`, and `SOME` that some may not exist.
    """
    feature = tl.arange(0, WIDTH)
    address = start + positions.to(tl.int64)[:, None] * stride + feature[None, :]
    if SOME and PADDED:
        return tl.load(address, mask=exists[:, None] & (feature < width)[None, :], other=0.0)
    if SOME:
        return tl.load(address, mask=exists[:, None], other=0.0)
    if PADDED:
        return tl.load(address, mask=(feature < width)[None, :], other=0.0)
    return tl.load(address)


@triton.jit
def _key_ranges(low, high, low_steps, high_steps, rows, exists):
    """The first key of each query, and the one after its last; none for queries that do not exist."""
    first = tl.load(low + rows * low_steps[2], exists, 0)
    last = tl.load(high + rows * high_steps[2], exists, 0)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit
def _add_mask(
    scores, rows, columns, may, bias, bias_steps, allowed, allowed_steps,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr,
):  # fmt: skip
    """Scores in bits with their bias, -inf where `may` or the mask forbids; all three broadcast together."""
    if BIAS:
        address = bias + rows.to(tl.int64) * bias_steps[2] + columns * bias_steps[3]
        added = tl.load(address, mask=may, other=0.0)
        # As in `tile.add_mask`: no bias but -inf is -inf in bits, and one of +inf is a large number that takes
        # all the weight; a NaN stays.
        scores += tl.where(added > -float("inf"), tl.maximum(added, LOWEST_BIAS), added) * (1 / LN2)
        scores = tl.minimum(scores, INFINITE_SCORE, propagate_nan=tl.PropagateNan.ALL)
    if ALLOWED:
        address = allowed + rows.to(tl.int64) * allowed_steps[2] + columns * allowed_steps[3]
        may = may & (tl.load(address, mask=may, other=0) != 0)
    return tl.where(may, scores, -float("inf"))


@triton.jit
def _cap(scores, scale, cap):
    """`c tanh(s / c)` of products times `scale`, in bits; by the rational function of `compiled.math.tanh`."""
    x = scores * (scale / cap)
    x = tl.minimum(x, TANH_SATURATION, propagate_nan=tl.PropagateNan.ALL)
    x = tl.maximum(x, -TANH_SATURATION, propagate_nan=tl.PropagateNan.ALL)
    y = x * x
    a = 1.0 + y * (A1 + y * (A2 + y * (A3 + y * A4)))
    b = 1.0 + y * (B1 + y * (B2 + y * (B3 + y * B4)))
    return cap * (x * a / b)


@triton.jit
def _normalizer(row_sum, row_max, sink, SINK: tl.constexpr):
    """The factor that makes weights of `2**(score - row_max)`, and their log-sum-exp in bits.

    Also the excess of that over `row_max`, and what it is the logarithm of: 0 for a query that sees nothing,
    not even a sink. All in float64.
    """
    seen_max = tl.where(row_max == -float("inf"), 0.0, row_max)
    if SINK:  # as in `forward.normalizer_of`
        reference = tl.maximum(row_max.to(tl.float64), sink)
        reference = tl.where(reference == -float("inf"), 0.0, reference)
        share = tl.exp((row_max - reference) * LN2)
        total = row_sum * share + tl.exp((sink - reference) * LN2)
        divisor = tl.where(total == 0, 1.0, total)
        excess = reference - seen_max + tl.log2(divisor)
        return share / divisor, reference + tl.log2(divisor), excess, total
    divisor = tl.where(row_sum == 0, 1.0, row_sum)
    excess = tl.log2(divisor)
    return 1 / divisor, row_max.to(tl.float64) + excess, excess, row_sum


@triton.jit
def _lowbias32(x):
    """The hash of dropout, `random.lowbias32`."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _apply_dropout(p, row_key, column_keys, columns, exists, drop_below, keep_scale):
    """The weights after dropout: zeros, and others times `keep_scale`."""
    column_key = tl.load(column_keys + columns, exists, 0)
    word = _lowbias32((row_key[:, None] ^ column_key[None, :]).to(tl.uint32, bitcast=True))
    return tl.where(word >= drop_below.to(tl.uint32), p * keep_scale, 0.0)


@triton.jit
def _entries(scores, positions):
    """Scores and positions as one int64 each, ordered by score; of equal ones the first position is larger.

    The bits of a positive float are in the order of the numbers, those of a negative one in reverse:
    flipping all but its sign mends that.
    """
    bits = scores.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | (0xFFFFFFFF - positions.to(tl.int64))


@triton.jit
def _tile_positions(COLUMNS: tl.constexpr):
    """The keys of a tile, counted from its first, in the order of its columns.

    Tensor cores give a thread two columns of every eight. Keys are dealt so that the columns of a thread are
    `COLUMNS / 4` keys side by side, a *chunk*: their maximum is found without another thread.
    """
    column = tl.arange(0, COLUMNS)
    return (column // 2 % 4) * (COLUMNS // 4) + (column // 8) * 2 + column % 2


@triton.jit
def _chunk_maxima(scores, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The largest score of each chunk of a tile: `(ROWS, 4)`."""
    by_thread = tl.reshape(scores, (ROWS, COLUMNS // 8, 4, 2))
    return tl.max(tl.max(by_thread, 3), 1)


@triton.jit
def _insert(maxima, chunks, candidate, chunk, COUNT: tl.constexpr):
    """Sorted lists of the largest maxima and of their chunks, after one more; of equal ones the first stays."""
    new_maxima, new_chunks = (), ()
    moving, moving_chunk = candidate, chunk
    for i in tl.static_range(COUNT):
        lower = candidate > maxima[i]  # and so is each after it
        new_maxima = new_maxima + (tl.where(lower, moving, maxima[i]),)  # noqa: RUF005
        new_chunks = new_chunks + (tl.where(lower, moving_chunk, chunks[i]),)  # noqa: RUF005
        moving = tl.where(lower, maxima[i], moving)
        moving_chunk = tl.where(lower, chunks[i], moving_chunk)
    return new_maxima, new_chunks


@triton.jit
def _forward_tiles(
    state, begin, end, q, rows, row_exists, first, last, row_key,
    key, value, bias, allowed, column_keys, key_step, value_step, bias_steps, allowed_steps,
    scale, cap, drop_below, keep_scale, keys, features, values,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, VALUES: tl.constexpr,
    TOP: tl.constexpr, BIAS: tl.constexpr, ALLOWED: tl.constexpr, DROPOUT: tl.constexpr,
    ENTROPY: tl.constexpr, PADDED: tl.constexpr, PADDED_VALUES: tl.constexpr, CAP: tl.constexpr,
    SOME: tl.constexpr,
):  # fmt: skip
    """The state of a tile of queries after some tiles of keys: the online softmax.

    The state is maximum, sum and moment of each row, the output, and the lists of `_insert`. `begin` is
    the first key of a tile. `SOME` says that some queries may not see some of these keys.
    """
    row_max, row_sum, row_moment, out, maxima, chunks = state
    for start in range(begin, end, COLUMNS):
        columns = start + _tile_positions(COLUMNS)
        exists = columns < keys
        k = _load_vectors(key, columns, exists, key_step, features, FEATURES, PADDED, SOME)
        s = tl.dot(q, tl.trans(k), input_precision="ieee")
        factor_bits = scale
        if CAP:
            s = _cap(s, scale, cap)
            factor_bits = 1.0
        if SOME or BIAS or ALLOWED:
            may = row_exists[:, None] & (columns >= first[:, None]) & (columns < last[:, None])
            s = _add_mask(
                s * factor_bits, rows[:, None], columns[None, :], may, bias, bias_steps, allowed, allowed_steps,
                BIAS, ALLOWED,
            )  # fmt: skip
            factor_bits = 1.0
        largest = _chunk_maxima(s, ROWS, COLUMNS) * factor_bits
        if TOP:
            chunk = (
                start // (COLUMNS // 4) + tl.arange(0, 4)[None, :] + tl.zeros((ROWS, 1), tl.int32)
            )
            maxima, chunks = _insert(maxima, chunks, largest, chunk, TOP)
        # Before a row has seen anything its maximum is -inf, which must not meet itself in a difference:
        # 0 stands in.
        new_max = tl.maximum(row_max, tl.max(largest, 1))
        reference = tl.where(new_max == -float("inf"), 0.0, new_max)
        shift = tl.where(row_max == -float("inf"), 0.0, row_max - reference)
        factor = tl.where(row_max == -float("inf"), 0.0, tl.exp2(shift))
        row_max = new_max
        below = s * factor_bits - reference[:, None]
        p = tl.exp2(below)
        if ENTROPY:
            # A weight of 0 times its logarithm, -inf, is 0.
            tile_moment = tl.sum(p * tl.maximum(below, -1000.0), 1)
            row_moment = (row_moment + row_sum * shift) * factor + tile_moment
        row_sum = row_sum * factor + tl.sum(p, 1)
        # Dropout after the sums: statistics are those of the weights before it.
        if DROPOUT:
            p = _apply_dropout(p, row_key, column_keys, columns, exists, drop_below, keep_scale)
        if VALUES:
            v = _load_vectors(
                value, columns, exists, value_step, values, VALUES, PADDED_VALUES, SOME
            )
            out = out * factor[:, None]
            out = tl.dot(p.to(v.dtype), v, out, input_precision="ieee")
    return row_max, row_sum, row_moment, out, maxima, chunks


@triton.jit
def forward(
    query, key, value, low, high, bias, allowed, sink, row_keys, column_keys,
    output, lse, row_bits, row_correction, entropy, max_score, top_maxima, top_chunks,
    query_steps, key_steps, value_steps, low_steps, high_steps, bias_steps, allowed_steps, sink_steps,
    scale, cap, drop_below, keep_scale, heads, group, queries, keys, features, values, tiles,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, VALUES: tl.constexpr,
    TOP: tl.constexpr, BIAS: tl.constexpr, ALLOWED: tl.constexpr, DROPOUT: tl.constexpr,
    ENTROPY: tl.constexpr, MAX_SCORE: tl.constexpr, PADDED: tl.constexpr, PADDED_VALUES: tl.constexpr,
    CAP: tl.constexpr, SINK: tl.constexpr,
):  # fmt: skip
    """Output, log-sum-exp, entropy, largest score and the chunks of the largest of a tile of queries.

    `scale` is not negative. The log-sum-exp comes in float64, and in bits as a rounded float32 with the factor
    that makes good the rounding, for `pooled`; a sink, which belongs to no key, enters there alone. `cap` is in
    bits. `VALUES` is a power of two, or 0 for none. `top_maxima` and `top_chunks` are `(rows, TOP, 4)`: four
    lists, of the chunks of each place in a tile.
    """
    pair, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    b, h = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    rows = tile * ROWS + tl.arange(0, ROWS)
    row_exists = rows < queries
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    first, last = _key_ranges(low, high, low_steps, high_steps, rows, row_exists)
    sees = first < last
    begin = tl.min(tl.where(sees, first, keys), 0) // COLUMNS * COLUMNS
    end = tl.max(tl.where(sees, last, 0), 0)
    # Tiles that all of the queries see whole.
    whole_begin = tl.max(tl.where(row_exists, first, 0), 0)
    whole_begin = (whole_begin + COLUMNS - 1) // COLUMNS * COLUMNS
    whole_end = tl.min(tl.where(row_exists, last, keys), 0) // COLUMNS * COLUMNS
    whole_begin = tl.minimum(tl.maximum(whole_begin, begin), tl.maximum(end, begin))
    whole_end = tl.maximum(whole_end, whole_begin)

    query += b * query_steps[0] + h * query_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    value += b * value_steps[0] + h // group * value_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    q = _load_vectors(query, rows, row_exists, query_steps[2], features, FEATURES, PADDED, True)

    row_max = tl.full((ROWS,), -float("inf"), tl.float32)
    row_sum = tl.zeros((ROWS,), tl.float64)
    row_moment = tl.zeros((ROWS,), tl.float64)
    out = tl.zeros((ROWS, VALUES if VALUES else 1), tl.float32)
    maxima, chunks = (), ()
    for _ in tl.static_range(TOP):
        maxima = maxima + (tl.full((ROWS, 4), -float("inf"), tl.float32),)  # noqa: RUF005
        chunks = chunks + (tl.full((ROWS, 4), -1, tl.int32),)  # noqa: RUF005
    row_key = rows
    if DROPOUT:
        row_key = tl.load(row_keys + pair.to(tl.int64) * queries + rows, row_exists, 0)

    state = row_max, row_sum, row_moment, out, maxima, chunks
    edges = begin, whole_begin, whole_end, end
    for part in tl.static_range(3):
        state = _forward_tiles(
            state, edges[part], edges[part + 1], q, rows, row_exists, first, last, row_key,
            key, value, bias, allowed, column_keys, key_steps[2], value_steps[2], bias_steps, allowed_steps,
            scale, cap, drop_below, keep_scale, keys, features, values,
            ROWS, COLUMNS, FEATURES, VALUES, TOP, BIAS, ALLOWED, DROPOUT, ENTROPY, PADDED, PADDED_VALUES,
            CAP, part != 1,
        )  # fmt: skip
    row_max, row_sum, row_moment, out, maxima, chunks = state

    # Results of the rows; zeros where a row has seen nothing.
    rows = pair.to(tl.int64) * queries + rows
    sink_bits = 0.0
    if SINK:
        sink_bits = tl.load(sink + b * sink_steps[0] + h * sink_steps[1]).to(tl.float64) / LN2
    weight_factor, bits, excess, total = _normalizer(row_sum, row_max, sink_bits, SINK)
    tl.store(lse + rows, tl.where(total == 0, -float("inf"), bits * LN2), row_exists)
    bits = tl.where(total == 0, 0.0, bits)
    rounded = bits.to(tl.float32)
    tl.store(row_bits + rows, rounded, row_exists)
    correction = tl.exp2((rounded.to(tl.float64) - bits).to(tl.float32))
    tl.store(row_correction + rows, correction, row_exists)
    if ENTROPY:
        spread = (
            row_sum * excess - row_moment
        )  # of the weights of keys; 0 for a row that has seen none
        tl.store(entropy + rows, (weight_factor * spread * LN2).to(tl.float32), row_exists)
    if MAX_SCORE:
        # A maximum does not show NaN scores, and the sum does.
        tl.store(max_score + rows, tl.where(row_sum != row_sum, row_sum, row_max * LN2), row_exists)
    if VALUES:
        feature = tl.arange(0, VALUES)
        out = (out * weight_factor.to(tl.float32)[:, None]).to(output.dtype.element_ty)
        tl.store(
            output + rows[:, None] * values + feature[None, :],
            out,
            row_exists[:, None] & (feature < values)[None, :],
        )
    place = rows[:, None] * (4 * TOP) + tl.arange(0, 4)[None, :]
    for i in tl.static_range(TOP):
        tl.store(top_maxima + place + 4 * i, maxima[i], row_exists[:, None])
        tl.store(top_chunks + place + 4 * i, chunks[i], row_exists[:, None])


@triton.jit
def _largest(entries, slot, LENGTH: tl.constexpr, COUNT: tl.constexpr):
    """The `COUNT` largest of some entries, in order, in the first of `LENGTH` slots, `LOWEST` in the others."""
    found = tl.full((LENGTH,), LOWEST, tl.int64)
    for i in range(COUNT):
        best = tl.max(entries, 0)
        found = tl.where(slot == i, best, found)
        entries = tl.where(entries == best, LOWEST, entries)
    return found


@triton.jit
def largest(
    query, key, low, high, bias, allowed, lse, top_maxima, top_chunks, weights, indices,
    query_steps, key_steps, low_steps, high_steps, bias_steps, allowed_steps,
    scale, cap, heads, group, queries, keys, features,
    CHUNK: tl.constexpr, SLICE: tl.constexpr, TOP: tl.constexpr, LENGTH: tl.constexpr,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr, CAP: tl.constexpr,
):  # fmt: skip
    """The largest weights of a query and their keys, in order; what it lacks is filled with other keys.

    They lie in the `TOP` chunks whose maxima are largest, since each of those has at least one of them: the
    scores of these chunks are made again. `LENGTH` is the power of two from `TOP` on.
    """
    row = tl.program_id(0).to(tl.int64)
    pair, i = row // queries, row % queries
    b, h = pair // heads, pair % heads
    slot = tl.arange(0, LENGTH)
    listed = tl.arange(0, 4 * LENGTH)
    maxima = tl.load(top_maxima + row * (4 * TOP) + listed, listed < 4 * TOP, -float("inf"))
    chunks = tl.load(top_chunks + row * (4 * TOP) + listed, listed < 4 * TOP, -1)
    entries = tl.where(chunks >= 0, _entries(maxima, chunks), LOWEST)
    best = _largest(entries, slot, LENGTH, TOP)
    chunk = tl.where(best == LOWEST, -1, 0xFFFFFFFF - (best & 0xFFFFFFFF))

    columns = chunk[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
    columns = tl.reshape(columns, (LENGTH * CHUNK,))
    first = tl.load(low + b * low_steps[0] + h * low_steps[1] + i * low_steps[2])
    last = tl.load(high + b * high_steps[0] + h * high_steps[1] + i * high_steps[2])
    may = (columns >= 0) & (columns >= first) & (columns < last) & (columns < keys)
    query += b * query_steps[0] + h * query_steps[1] + i * query_steps[2]
    key += b * key_steps[0] + h // group * key_steps[1]
    scores = tl.zeros((LENGTH * CHUNK,), tl.float32)
    for start in range(0, features, SLICE):
        feature = start + tl.arange(0, SLICE)
        q = tl.load(query + feature, feature < features, 0.0).to(tl.float32)
        address = key + columns[:, None] * key_steps[2] + feature[None, :]
        k = tl.load(address, may[:, None] & (feature < features)[None, :], 0.0).to(tl.float32)
        scores += tl.sum(k * q[None, :], 1)
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    scores = _cap(scores, scale, cap) if CAP else scores * scale
    scores = _add_mask(
        scores, i, columns, may, bias, bias_steps, allowed, allowed_steps, BIAS, ALLOWED
    )
    entries = tl.where(scores > -float("inf"), _entries(scores, columns), LOWEST)
    found = _largest(entries, slot, LENGTH, TOP)

    # Scores and keys out of the entries again.
    seen = found != LOWEST
    index = tl.where(seen, 0xFFFFFFFF - (found & 0xFFFFFFFF), -1)
    ordered = (found >> 32).to(tl.int32)
    score = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
    total = tl.load(lse + row)
    weight = tl.exp(score.to(tl.float64) * LN2 - total)
    weight = tl.where(seen, weight, tl.where(total != total, total, 0.0))
    # The first keys that are not listed, one for each empty slot.
    first_keys = tl.arange(0, 2 * LENGTH)
    free = tl.sum((index[:, None] == first_keys[None, :]).to(tl.int32), 0) == 0
    rank = tl.cumsum(free.to(tl.int32), 0) - 1
    empty_rank = slot - tl.sum(seen.to(tl.int32), 0)
    filler = tl.sum(
        tl.where(free[None, :] & (rank[None, :] == empty_rank[:, None]), first_keys[None, :], 0), 1
    )
    index = tl.where(seen, index, filler)
    tl.store(weights + row * TOP + slot, weight.to(tl.float32), slot < TOP)
    tl.store(indices + row * TOP + slot, index.to(tl.int64), slot < TOP)


@triton.jit
def _slot_positions(
    start, edges, bands, length, SIZE: tl.constexpr, BAND: tl.constexpr, GAPS: tl.constexpr
):
    """Positions of the slots of a tile, and which exist: band `i` owns the slots from `i * BAND` on.

    Its positions are `edges[i]` up to `edges[i + 1]`; slots beyond them are empty. Without `GAPS` none is.
    """
    slots = start + tl.arange(0, SIZE)
    if not GAPS:
        return slots, slots < length
    band = slots // BAND
    first = tl.load(edges + band, band < bands, length)
    stop = tl.load(edges + band + 1, band < bands, length)
    positions = first + slots % BAND
    return positions, positions < stop


@triton.jit
def _pooled_tiles(
    total, begin_tile, end_tile, k, columns, column_exists, begin, end, pair, tile,
    query, low, high, bias, allowed, row_bits, row_correction, row_edges, block_sum, block_max,
    query_step, low_steps, high_steps, bias_steps, allowed_steps,
    scale, cap, queries, features, row_bands, row_tiles, tiles,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr,
    ROW_BAND: tl.constexpr, ROW_PART: tl.constexpr, KEY_PART: tl.constexpr, BIAS: tl.constexpr,
    ALLOWED: tl.constexpr, RECEIVED: tl.constexpr, POOL: tl.constexpr, PADDED: tl.constexpr,
    RANGED: tl.constexpr, GAPS: tl.constexpr, CAP: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """What the keys received, `total`, after some tiles of queries, whose parts of blocks are stored.

    `SOME` says that some queries may not see some of the keys, or that some slots are empty.
    """
    first, last = tl.load(low).to(tl.int32), tl.load(high).to(tl.int32)
    sees = True
    for row_tile in range(begin_tile, end_tile):
        rows, row_exists = _slot_positions(
            row_tile * ROWS, row_edges, row_bands, queries, ROWS, ROW_BAND, GAPS
        )
        if RANGED:
            firsts, lasts = _key_ranges(low, high, low_steps, high_steps, rows, row_exists)
            sees = (
                tl.max(((firsts < end) & (lasts > begin) & (firsts < lasts)).to(tl.int32), 0) == 1
            )
        else:
            firsts, lasts = first, last
        if not RANGED or sees:
            q = _load_vectors(query, rows, row_exists, query_step, features, FEATURES, PADDED, SOME)
            s = tl.dot(k, tl.trans(q), input_precision="ieee")
            s = _cap(s, scale, cap) if CAP else s * scale
            if SOME or BIAS or ALLOWED:
                may = column_exists[:, None] & row_exists[None, :]
                may = may & (columns[:, None] >= firsts) & (columns[:, None] < lasts)
                s = _add_mask(
                    s, rows[None, :], columns[:, None], may, bias, bias_steps, allowed, allowed_steps,
                    BIAS, ALLOWED,
                )  # fmt: skip
            # The weights from the final lse, which is float64: what rounding it changes is made good by
            # a factor.
            bits = tl.load(row_bits + rows, row_exists, 0.0)
            correction = tl.load(row_correction + rows, row_exists, 1.0)
            p = tl.exp2(s - bits[None, :]) * correction[None, :]
            if RECEIVED:
                # As on a processor: some rows are added up in float32, those of a thread, and their sums
                # in float64.
                by_thread = tl.sum(tl.reshape(p, (COLUMNS, ROWS // 8, 8)), 1)
                total += tl.sum(by_thread.to(tl.float64), 1)
            # One number for each part of a tile, which no other program writes.
            if POOL:
                parts = tl.reshape(p, (COLUMNS // KEY_PART, KEY_PART, ROWS // ROW_PART, ROW_PART))
                down = row_tile * (ROWS // ROW_PART) + tl.arange(0, ROWS // ROW_PART)
                across = tile * (COLUMNS // KEY_PART) + tl.arange(0, COLUMNS // KEY_PART)
                down = pair.to(tl.int64) * row_tiles * (ROWS // ROW_PART) + down
                address = down[None, :] * tiles * (COLUMNS // KEY_PART) + across[:, None]
                tl.store(block_sum + address, tl.sum(tl.sum(parts, 3), 1))
                tl.store(block_max + address, tl.max(tl.max(parts, 3), 1))
    return total


@triton.jit
def pooled(
    query, key, low, high, bias, allowed, row_bits, row_correction, row_edges, key_edges,
    received, block_sum, block_max,
    query_steps, key_steps, low_steps, high_steps, bias_steps, allowed_steps,
    scale, cap, heads, group, queries, keys, features, row_bands, key_bands, row_tiles, tiles,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr,
    ROW_BAND: tl.constexpr, KEY_BAND: tl.constexpr, ROW_PART: tl.constexpr, KEY_PART: tl.constexpr,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr, RECEIVED: tl.constexpr, POOL: tl.constexpr,
    PADDED: tl.constexpr, RANGED: tl.constexpr, GAPS: tl.constexpr, CAP: tl.constexpr,
):  # fmt: skip
    """What a tile of keys received, and sums and maxima of its blocks with all queries.

    A band lies in one tile or more, or a tile holds several; either way a tile is made of whole
    parts, `ROW_PART` by `KEY_PART`, each within one band, and one number a part comes out. Tiles lie on
    their side, keys by queries, so that a thread has what a key receives from several queries.

    `RANGED`: queries of a head see different ranges of keys. `GAPS`: some slots of queries or keys are empty.
    """
    pair, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    b, h = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    columns, column_exists = _slot_positions(
        tile * COLUMNS, key_edges, key_bands, keys, COLUMNS, KEY_BAND, GAPS
    )
    begin = tl.min(tl.where(column_exists, columns, keys), 0)
    end = tl.max(tl.where(column_exists, columns, -1), 0) + 1

    query += b * query_steps[0] + h * query_steps[1]
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    row_bits += pair.to(tl.int64) * queries
    row_correction += pair.to(tl.int64) * queries
    k = _load_vectors(key, columns, column_exists, key_steps[2], features, FEATURES, PADDED, True)
    total = tl.zeros((COLUMNS,), tl.float64)
    # Tiles of queries that all see all of these keys come first: all of them, or none.
    whole_tiles = 0
    if not (RANGED or GAPS):
        whole = (tl.load(low) <= begin) & (tl.load(high) >= end)
        whole_tiles = tl.where(whole, row_tiles, 0)
    edges = 0, whole_tiles, row_tiles
    for part in tl.static_range(2):
        total = _pooled_tiles(
            total, edges[part], edges[part + 1], k, columns, column_exists, begin, end, pair, tile,
            query, low, high, bias, allowed, row_bits, row_correction, row_edges, block_sum, block_max,
            query_steps[2], low_steps, high_steps, bias_steps, allowed_steps,
            scale, cap, queries, features, row_bands, row_tiles, tiles,
            ROWS, COLUMNS, FEATURES, ROW_BAND, ROW_PART, KEY_PART, BIAS, ALLOWED, RECEIVED, POOL, PADDED,
            RANGED, GAPS, CAP, part != 0,
        )  # fmt: skip
    if RECEIVED:
        address = received + pair.to(tl.int64) * keys + columns
        tl.store(address, total.to(tl.float32), column_exists)
