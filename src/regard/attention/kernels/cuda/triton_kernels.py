"""The forward pass for an NVIDIA GPU, in Triton: the recurrences of `fused/forward.py`, a tile to a program.

`forward` takes a tile of queries past all the keys it sees: output, log-sum-exp, entropy and the
largest weights. `pooled` then takes a tile of keys past all queries, when the log-sum-exp of each
is known, and makes the scores again: what a key received, and the blocks of a pooled map. Nothing
is added up through atomics, so equal inputs give equal bits.

Programs are numbered along one axis, tiles fastest. Sums over many tiles are kept in float64; scores
are in bits (the scale includes log2 e). All strides are counted in elements, 0 where an axis is
broadcast.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton's operations raise in Python: pyright takes a function that calls one for one that never returns.
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from regard.attention.kernels.fused import tile as fused_tile

__all__ = ["forward", "pooled"]

LN2 = tl.constexpr(fused_tile.LN2)
INFINITE_SCORE = tl.constexpr(float(fused_tile.INFINITE_SCORE))
LOWEST = tl.constexpr(-(2**63))
"""Below the entry of any key in a list of largest scores."""


@triton.jit
def _load_vectors(start, positions, exists, stride, width, WIDTH: tl.constexpr):
    """Vectors at some positions, zeros where none exists: `(positions, WIDTH)`."""
    feature = tl.arange(0, WIDTH)
    inside = exists[:, None] & (feature < width)[None, :]
    address = start + positions.to(tl.int64)[:, None] * stride + feature[None, :]
    return tl.load(address, mask=inside, other=0.0)


@triton.jit
def _key_ranges(low, high, low_steps, high_steps, rows, exists):
    """The first key of each query, and the one after its last."""
    first = tl.load(low + rows * low_steps[2], exists, 0)
    last = tl.load(high + rows * high_steps[2], exists, 0)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit
def _scores(
    query, key, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale,
    BIAS: tl.constexpr, ALLOWED: tl.constexpr,
):  # fmt: skip
    """Scores of a tile in bits, -inf where `may` or the mask forbids."""
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    if BIAS:
        address = (
            bias + rows.to(tl.int64)[:, None] * bias_steps[2] + columns[None, :] * bias_steps[3]
        )
        scores += tl.load(address, mask=may, other=0.0) * (1 / LN2)
        # As in `tile.add_mask`: a bias of +inf is a large number that takes all the weight; a NaN stays.
        scores = tl.minimum(scores, INFINITE_SCORE, propagate_nan=tl.PropagateNan.ALL)
    if ALLOWED:
        address = (
            allowed
            + rows.to(tl.int64)[:, None] * allowed_steps[2]
            + columns[None, :] * allowed_steps[3]
        )
        may = may & (tl.load(address, mask=may, other=0) != 0)
    return tl.where(may, scores, -float("inf"))


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
def _entries(scores, columns):
    """Scores and their keys as one int64 each, ordered by score; of equal ones the first key is larger.

    The bits of a positive float are in the order of the numbers, those of a negative one in reverse:
    flipping all but its sign mends that.
    """
    bits = scores.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | (0xFFFFFFFF - columns.to(tl.int64))


@triton.jit
def _empty_list(ROWS: tl.constexpr, TOP: tl.constexpr):
    """A list of the first keys, below any that is seen; the last of them is replaced first."""
    positions = tl.arange(0, TOP).to(tl.int64)
    return tl.zeros((ROWS, TOP), tl.int64) + ((0xFFFFFFFF - positions) + LOWEST)[None, :]


@triton.jit
def _insert_largest(list_, scores, columns, exists, tile_max):
    """The list after a tile of keys: its largest entries, in no order.

    One key of each row replaces the smallest entry at a time: about `k` times in the first tile, rarely later
    on, and not at all where no maximum exceeds the smallest.
    """
    least = tl.min(list_, 1)
    if tl.max((_entries(tile_max, tl.full((), 0, tl.int32)) > least).to(tl.int32), 0) > 0:
        entries = tl.where(exists[None, :], _entries(scores, columns[None, :]), LOWEST)
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
    scale, drop_below, keep_scale, heads, group, queries, keys, features, values, tiles,
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
    row_exists = rows < queries
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    first, last = _key_ranges(low, high, low_steps, high_steps, rows, row_exists)
    sees = first < last
    begin = tl.min(tl.where(sees, first, keys), 0) // COLUMNS * COLUMNS
    end = tl.max(tl.where(sees, last, 0), 0)

    query += b * query_steps[0] + h * query_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    value += b * value_steps[0] + h // group * value_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    q = _load_vectors(query, rows, row_exists, query_steps[2], features, FEATURES)

    row_max = tl.full((ROWS,), -float("inf"), tl.float32)
    row_sum = tl.zeros((ROWS,), tl.float64)
    row_moment = tl.zeros((ROWS,), tl.float64)
    if VALUES:
        out = tl.zeros((ROWS, VALUES), tl.float32)
    if TOP:
        list_ = _empty_list(ROWS, TOP)
    if DROPOUT:
        row_key = tl.load(row_keys + pair.to(tl.int64) * queries + rows, row_exists, 0)

    for start in range(begin, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        column_exists = columns < keys
        may = row_exists[:, None] & (columns >= first[:, None]) & (columns < last[:, None])
        k = _load_vectors(key, columns, column_exists, key_steps[2], features, FEATURES)
        s = _scores(
            q, k, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale, BIAS, ALLOWED,
        )  # fmt: skip
        tile_max = tl.max(s, 1)
        if TOP:
            list_ = _insert_largest(list_, s, columns, column_exists, tile_max)

        # The online softmax. Before a row has seen anything its maximum is -inf, which must not meet
        # itself in a difference: 0 stands in.
        new_max = tl.maximum(row_max, tile_max)
        reference = tl.where(new_max == -float("inf"), 0.0, new_max)
        shift = tl.where(row_max == -float("inf"), 0.0, row_max - reference)
        factor = tl.where(row_max == -float("inf"), 0.0, tl.exp2(shift))
        row_max = new_max
        below = s - reference[:, None]
        p = tl.exp2(below)
        if ENTROPY:
            tile_moment = tl.sum(p * tl.where(p > 0, below, 0.0), 1)
            row_moment = (row_moment + row_sum * shift) * factor + tile_moment
        row_sum = row_sum * factor + tl.sum(p, 1)
        # Dropout after the sums: statistics are those of the weights before it.
        if DROPOUT:
            p = _apply_dropout(
                p, row_key, column_keys, columns, column_exists, drop_below, keep_scale
            )
        if VALUES:
            v = _load_vectors(value, columns, column_exists, value_steps[2], values, VALUES)
            out = out * factor[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")

    # Results of the rows; zeros where a row has seen nothing.
    rows = pair.to(tl.int64) * queries + rows
    divisor = tl.where(row_sum == 0, 1.0, row_sum)
    total = tl.where(row_sum == 0, -float("inf"), (row_max.to(tl.float64) + tl.log2(divisor)) * LN2)
    tl.store(lse + rows, total, row_exists)
    if ENTROPY:
        tl.store(
            entropy + rows,
            ((tl.log2(divisor) - row_moment / divisor) * LN2).to(tl.float32),
            row_exists,
        )
    if VALUES:
        feature = tl.arange(0, VALUES)
        out = (out / divisor.to(tl.float32)[:, None]).to(output.dtype.element_ty)
        tl.store(
            output + rows[:, None] * values + feature[None, :],
            out,
            row_exists[:, None] & (feature < values)[None, :],
        )
    if TOP:
        tl.store(top + rows[:, None] * TOP + tl.arange(0, TOP)[None, :], list_, row_exists[:, None])


@triton.jit
def _slot_positions(start, edges, bands, length, SIZE: tl.constexpr, BAND: tl.constexpr):
    """Positions of the slots of a tile, and which exist: band `i` owns the slots from `i * BAND` on.

    Its positions are `edges[i]` up to `edges[i + 1]`; slots beyond them are empty.
    """
    slots = start + tl.arange(0, SIZE)
    band = slots // BAND
    first = tl.load(edges + band, band < bands, length)
    stop = tl.load(edges + band + 1, band < bands, length)
    positions = first + slots % BAND
    return positions, positions < stop


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
    columns, column_exists = _slot_positions(
        tile * COLUMNS, key_edges, key_bands, keys, COLUMNS, KEY_BAND
    )
    begin = tl.min(tl.where(column_exists, columns, keys), 0)
    end = tl.max(tl.where(column_exists, columns, -1), 0) + 1

    query += b * query_steps[0] + h * query_steps[1]
    low += b * low_steps[0] + h * low_steps[1]
    high += b * high_steps[0] + h * high_steps[1]
    bias += b * bias_steps[0] + h * bias_steps[1]
    allowed += b * allowed_steps[0] + h * allowed_steps[1]
    key += b * key_steps[0] + h // group * key_steps[1]
    k = _load_vectors(key, columns, column_exists, key_steps[2], features, FEATURES)
    total = tl.zeros((COLUMNS,), tl.float64)

    for row_tile in range(row_tiles):
        rows, row_exists = _slot_positions(
            row_tile * ROWS, row_edges, row_bands, queries, ROWS, ROW_BAND
        )
        first, last = _key_ranges(low, high, low_steps, high_steps, rows, row_exists)
        if tl.max(((first < end) & (last > begin) & (first < last)).to(tl.int32), 0) > 0:
            may = row_exists[:, None] & (columns >= first[:, None]) & (columns < last[:, None])
            may = may & column_exists[None, :]
            q = _load_vectors(query, rows, row_exists, query_steps[2], features, FEATURES)
            s = _scores(
                q, k, rows, columns, may, bias, bias_steps, allowed, allowed_steps, scale, BIAS, ALLOWED,
            )  # fmt: skip
            # The weights from the final lse, which is float64: what rounding it changes is made good by
            # a factor.
            exact = tl.load(lse + pair.to(tl.int64) * queries + rows, row_exists, 0.0)
            exact = tl.where(exact == -float("inf"), 0.0, exact / LN2)
            rounded = exact.to(tl.float32)
            correction = tl.exp2((rounded.to(tl.float64) - exact).to(tl.float32))
            p = tl.exp2(s - rounded[:, None]) * correction[:, None]
            if RECEIVED:
                # As on a processor: eight rows are added up in float32, and their sums in float64.
                by_eight = tl.sum(tl.reshape(p, (ROWS // 8, 8, COLUMNS)), 1)
                total += tl.sum(by_eight.to(tl.float64), 0)
            # One number for each part of a tile, which no other program writes.
            if POOL:
                parts = tl.reshape(p, (ROWS // ROW_PART, ROW_PART, COLUMNS // KEY_PART, KEY_PART))
                down = row_tile * (ROWS // ROW_PART) + tl.arange(0, ROWS // ROW_PART)
                across = tile * (COLUMNS // KEY_PART) + tl.arange(0, COLUMNS // KEY_PART)
                down = pair.to(tl.int64) * row_tiles * (ROWS // ROW_PART) + down
                address = down[:, None] * tiles * (COLUMNS // KEY_PART) + across[None, :]
                tl.store(block_sum + address, tl.sum(tl.sum(parts, 3), 1))
                tl.store(block_max + address, tl.max(tl.max(parts, 3), 1))
    if RECEIVED:
        address = received + pair.to(tl.int64) * keys + columns
        tl.store(address, total.to(tl.float32), column_exists)
