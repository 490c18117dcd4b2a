"""The two passes of `forward.py` for a GPU, in Triton: the same recurrences, a tile to a program.

`forward` takes a tile of queries past all the keys it sees: output, log-sum-exp, entropy and the
largest weights. `pooled` then takes a tile of keys past all queries, when the log-sum-exp of each
is known, and makes the scores again: what a key received, and the blocks of a pooled map. Nothing
is added up through atomics, so the same inputs give the same bits.

Programs are numbered along one axis, tiles fastest. Sums over many tiles are kept in float64; scores
are in bits (the scale includes log2 e). All strides are counted in elements, 0 where an axis is
broadcast.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from regard.attention.kernels.fused import tile

__all__ = ["forward", "pooled"]

LN2 = tl.constexpr(tile.LN2)
INFINITE_SCORE = tl.constexpr(float(tile.INFINITE_SCORE))
LOWEST = tl.constexpr(-(2**63))
"""Below the entry of any key in a list of largest scores."""


@triton.jit
def _vectors(start, places, known, stride, width, WIDTH: tl.constexpr):
    """Vectors at some places, zeros where there is none: `(places, WIDTH)`."""
    at = tl.arange(0, WIDTH)
    inside = known[:, None] & (at < width)[None, :]
    where = start + places.to(tl.int64)[:, None] * stride + at[None, :]
    return tl.load(where, mask=inside, other=0.0)


@triton.jit
def _reach(low, high, low_steps, high_steps, rows, known):
    """The first key of each query, and the one after its last."""
    first = tl.load(low + rows * low_steps[2], known, 0)
    last = tl.load(high + rows * high_steps[2], known, 0)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit
def _scores(
    query, key, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr,
):  # fmt: skip
    """Scores of a tile in bits, -inf where `may` or the mask forbids; an infinite bias takes all."""
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    if BIAS:
        where = bias + rows.to(tl.int64)[:, None] * bias_steps[2] + columns[None, :] * bias_steps[3]
        scores += tl.load(where, mask=may, other=0.0) * (1 / LN2)
        scores = tl.minimum(scores, INFINITE_SCORE, propagate_nan=tl.PropagateNan.ALL)
    if ALLOWED:
        where = (
            allowed
            + rows.to(tl.int64)[:, None] * allowed_steps[2]
            + columns[None, :] * allowed_steps[3]
        )
        may = may & (tl.load(where, mask=may, other=0) != 0)
    return tl.where(may, scores, -float("inf"))


@triton.jit
def _mix(x):
    """The hash of dropout, `random.lowbias32`."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _thinned(p, row_key, column_keys, columns, known, drop_below, survivor):
    """The weights that dropout leaves, as much larger as fewer are left."""
    column_key = tl.load(column_keys + columns, known, 0)
    word = _mix((row_key[:, None] ^ column_key[None, :]).to(tl.uint32, bitcast=True))
    return tl.where(word >= drop_below.to(tl.uint32), p * survivor, 0.0)


@triton.jit
def _entries(scores, columns):
    """Integers in the order of the scores; of equal ones the key that comes first is the larger."""
    bits = scores.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | (0xFFFFFFFF - columns.to(tl.int64))


@triton.jit
def _empty_list(ROWS: tl.constexpr, TOP: tl.constexpr):
    """Keys of a row that sees nothing: the first ones, of which the last is the first to go."""
    places = tl.arange(0, TOP).to(tl.int64)
    return tl.zeros((ROWS, TOP), tl.int64) + ((0xFFFFFFFF - places) + LOWEST)[None, :]


@triton.jit
def _keep_largest(list_, scores, columns, known, peak):
    """The list with what of this tile belongs in it, and the rest of it pushed out.

    One key of each row enters at a time, in the place of the smallest: about `k` times in the first
    tile, rarely later on.
    """
    least = tl.min(list_, 1)
    if tl.max((_entries(peak, tl.full((), 0, tl.int32)) > least).to(tl.int32), 0) > 0:
        entries = tl.where(known[None, :], _entries(scores, columns[None, :]), LOWEST)
        best = tl.max(entries, 1)
        while tl.max((best > least).to(tl.int32), 0) > 0:
            enters = best > least
            list_ = tl.where(enters[:, None] & (list_ == least[:, None]), best[:, None], list_)
            entries = tl.where(entries == best[:, None], LOWEST, entries)
            least = tl.min(list_, 1)
            best = tl.max(entries, 1)
    return list_


@triton.jit
def forward(
    query, key, value, low, high, bias, allowed, row_keys, column_keys, output, lse, entropy, top,
    query_steps, key_steps, value_steps, low_steps, high_steps, bias_steps, allowed_steps,
    scale, drop_below, survivor, heads, group, queries, keys, features, values, tiles,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, VALUES: tl.constexpr,
    TOP: tl.constexpr, BIAS: tl.constexpr, ALLOWED: tl.constexpr, DROPOUT: tl.constexpr,
    ENTROPY: tl.constexpr,
):  # fmt: skip
    """Output, log-sum-exp, entropy and largest scores of a tile of queries.

    `VALUES` and `TOP` are powers of two, or 0 for none; `top` holds `_entries`, in no order.
    """
    pair, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    b, h = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    rows = tile * ROWS + tl.arange(0, ROWS)
    row_known = rows < queries
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    first, last = _reach(low, high, low_steps, high_steps, rows, row_known)
    sees = first < last
    begin = tl.min(tl.where(sees, first, keys), 0) // COLUMNS * COLUMNS
    end = tl.max(tl.where(sees, last, 0), 0)

    query += b * query_steps[0] + h * query_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    value += b * value_steps[0] + h // group * value_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    q = _vectors(query, rows, row_known, query_steps[2], features, FEATURES)

    most = tl.full((ROWS,), -float("inf"), tl.float32)
    mass = tl.zeros((ROWS,), tl.float64)
    moment = tl.zeros((ROWS,), tl.float64)
    if VALUES:
        out = tl.zeros((ROWS, VALUES), tl.float32)
    if TOP:
        list_ = _empty_list(ROWS, TOP)
    if DROPOUT:
        row_key = tl.load(row_keys + pair.to(tl.int64) * queries + rows, row_known, 0)

    for start in range(begin, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        column_known = columns < keys
        may = row_known[:, None] & (columns >= first[:, None]) & (columns < last[:, None])
        k = _vectors(key, columns, column_known, key_steps[2], features, FEATURES)
        s = _scores(
            q, k, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale, BIAS, ALLOWED,
        )  # fmt: skip
        peak = tl.max(s, 1)
        if TOP:
            list_ = _keep_largest(list_, s, columns, column_known, peak)

        above = tl.maximum(most, peak)
        reference = tl.where(above == -float("inf"), 0.0, above)
        fall = tl.where(most == -float("inf"), 0.0, most - reference)
        shrink = tl.where(most == -float("inf"), 0.0, tl.exp2(fall))
        most = above
        below = s - reference[:, None]
        p = tl.exp2(below)
        if ENTROPY:
            drift = tl.sum(p * tl.where(p > 0, below, 0.0), 1)
            moment = (moment + mass * fall) * shrink + drift
        mass = mass * shrink + tl.sum(p, 1)
        if DROPOUT:
            p = _thinned(p, row_key, column_keys, columns, column_known, drop_below, survivor)
        if VALUES:
            v = _vectors(value, columns, column_known, value_steps[2], values, VALUES)
            out = out * shrink[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")

    rows = pair.to(tl.int64) * queries + rows
    whole = tl.where(mass == 0, 1.0, mass)
    total = tl.where(mass == 0, -float("inf"), (most.to(tl.float64) + tl.log2(whole)) * LN2)
    tl.store(lse + rows, total, row_known)
    if ENTROPY:
        tl.store(
            entropy + rows, ((tl.log2(whole) - moment / whole) * LN2).to(tl.float32), row_known
        )
    if VALUES:
        at = tl.arange(0, VALUES)
        out = (out / whole.to(tl.float32)[:, None]).to(output.dtype.element_ty)
        tl.store(
            output + rows[:, None] * values + at[None, :],
            out,
            row_known[:, None] & (at < values)[None, :],
        )
    if TOP:
        tl.store(top + rows[:, None] * TOP + tl.arange(0, TOP)[None, :], list_, row_known[:, None])


@triton.jit
def _positions(start, edges, bands, length, SIZE: tl.constexpr, BAND: tl.constexpr):
    """Where the slots of a tile stand: band `i` owns the slots from `i * BAND` on.

    Its positions are `edges[i]` up to `edges[i + 1]`; slots beyond them are empty.
    """
    slots = start + tl.arange(0, SIZE)
    band = slots // BAND
    first = tl.load(edges + band, band < bands, length)
    stop = tl.load(edges + band + 1, band < bands, length)
    places = first + slots % BAND
    return places, places < stop


@triton.jit
def pooled(
    query, key, low, high, bias, allowed, lse, row_edges, key_edges, received, block_sum, block_max,
    query_steps, key_steps, low_steps, high_steps, bias_steps, allowed_steps,
    scale, heads, group, queries, keys, features, row_bands, key_bands, row_tiles, tiles,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr,
    ROW_BAND: tl.constexpr, KEY_BAND: tl.constexpr, ROW_PART: tl.constexpr, KEY_PART: tl.constexpr,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr, RECEIVED: tl.constexpr, POOL: tl.constexpr,
):  # fmt: skip
    """What a tile of keys received, and sums and maxima of its blocks with all queries.

    A band lies in one tile or more, or a tile holds several; either way a tile is made of whole
    parts, `ROW_PART` by `KEY_PART`, each within one band, and one number a part comes out.
    """
    pair, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    b, h = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    columns, column_known = _positions(
        tile * COLUMNS, key_edges, key_bands, keys, COLUMNS, KEY_BAND
    )
    begin = tl.min(tl.where(column_known, columns, keys), 0)
    end = tl.max(tl.where(column_known, columns, -1), 0) + 1

    query += b * query_steps[0] + h * query_steps[1]
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    k = _vectors(key, columns, column_known, key_steps[2], features, FEATURES)
    total = tl.zeros((COLUMNS,), tl.float64)

    for row_tile in range(row_tiles):
        rows, row_known = _positions(row_tile * ROWS, row_edges, row_bands, queries, ROWS, ROW_BAND)
        first, last = _reach(low, high, low_steps, high_steps, rows, row_known)
        if tl.max(((first < end) & (last > begin) & (first < last)).to(tl.int32), 0) > 0:
            may = row_known[:, None] & (columns >= first[:, None]) & (columns < last[:, None])
            may = may & column_known[None, :]
            q = _vectors(query, rows, row_known, query_steps[2], features, FEATURES)
            s = _scores(
                q, k, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale, BIAS, ALLOWED,
            )  # fmt: skip
            known = tl.load(lse + pair.to(tl.int64) * queries + rows, row_known, 0.0)
            known = tl.where(known == -float("inf"), 0.0, known / LN2)
            near = known.to(tl.float32)
            rest = tl.exp2((near.to(tl.float64) - known).to(tl.float32))
            p = tl.exp2(s - near[:, None]) * rest[:, None]
            if RECEIVED:
                total += tl.sum(p, 0)
            if POOL:
                parts = tl.reshape(p, (ROWS // ROW_PART, ROW_PART, COLUMNS // KEY_PART, KEY_PART))
                down = row_tile * (ROWS // ROW_PART) + tl.arange(0, ROWS // ROW_PART)
                across = tile * (COLUMNS // KEY_PART) + tl.arange(0, COLUMNS // KEY_PART)
                down = pair.to(tl.int64) * row_tiles * (ROWS // ROW_PART) + down
                where = down[:, None] * tiles * (COLUMNS // KEY_PART) + across[None, :]
                tl.store(block_sum + where, tl.sum(tl.sum(parts, 3), 1))
                tl.store(block_max + where, tl.max(tl.max(parts, 3), 1))
    if RECEIVED:
        where = received + pair.to(tl.int64) * keys + columns
        tl.store(where, total.to(tl.float32), column_known)
