"""The one pass: output and statistics of attention, tile by tile.

For a tile of queries the keys go by in tiles. Each tile's scores are made by a matrix product, and while they
lie in the cache everything is taken from them at once (Milakov and Gimelshein 2018; Dao 2022)::

    s   = scale * q k^T                     one product, in bits (scale includes log2 e)
    m'  = max(m, max s)                     and the largest of every chunk: pooled max, top-k's threshold
    p   = 2**(s - m')
    l'  = l 2**(m - m') + sum p             and the sum of every chunk: pooled mean
    a'  = (a + l (m - m')) 2**(m - m') + sum p (s - m')                     entropy
    o'  = o 2**(m - m') + p v               one product

and at the end `output = o / l`, `lse = ln 2 (m + log2 l)`, `entropy = ln 2 (log2 l - a / l)`.

Received mass is a sum over queries, which needs the final `lse` of each: `received` is a second pass that makes
the scores again, without the product with values.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regard.attention.kernels.additive import additive_scores
from regard.attention.kernels.blas import multiply, multiply_transposed
from regard.attention.kernels.compiling import (
    compiled,
    contiguous,
    inlined,
    larger,
    next_index,
    spliced,
)
from regard.attention.kernels.rows import (
    LOWEST,
    NOTHING,
    WINDOW,
    drop,
    exp2,
    exponentials,
    floor_at_lowest,
    forbid,
    keep_largest,
    load,
    maximum_of_chunks,
    mix,
    store,
)

__all__ = ["Answers", "Inputs", "Plan", "forward", "received"]

LN2 = np.log(2.0)


class Inputs(NamedTuple):
    """What attention is asked of. Empty arrays stand for what is not given."""

    query: Any
    """(batch, heads, queries, words) uint16: float32 or bfloat16 seen as 16-bit words."""
    key: Any
    """(batch, key_heads, keys, words) uint16."""
    value: Any
    """(batch, key_heads, keys, words) uint16."""
    low: Any
    """(batch or 1, heads or 1, queries) int64: the first key of each query."""
    high: Any
    """The one after its last."""
    allowed: Any
    """(batch or 1, heads or 1, queries or 1, keys or 1) bool, or empty."""
    bias: Any
    """The same of float32, added to the scores, or empty."""
    direction: Any
    """(features,) float32: the `v` of additive attention; empty for dot products."""


class Plan(NamedTuple):
    """The numbers of a call."""

    features: int
    values: int
    scale: float
    rows: int
    """Queries of a tile: a multiple of `query_block`."""
    columns: int
    """Keys of a tile: a multiple of `chunk`."""
    chunk: int
    """Keys whose maximum and sum are kept; divides `columns` and the pooled block."""
    query_block: int
    drop_below: Any
    """uint32: dropout's threshold; 0 for none."""
    survivor: Any
    """float32: `1 / (1 - rate)`."""
    row_keys: Any
    """(batch * heads, queries) uint32, or empty."""
    column_keys: Any
    """(keys,) uint32, or empty."""


class Answers(NamedTuple):
    """Where results go. Empty arrays are not filled."""

    output: Any
    """(batch, heads, queries, words) uint16."""
    lse: Any
    """(batch, heads, queries) float32, natural; -inf where a query sees nothing."""
    entropy: Any
    """(batch, heads, queries) float32, in nats."""
    top_weights: Any
    """(batch, heads, queries, k) float32, descending; 0 beyond what a query sees."""
    top_places: Any
    """(batch, heads, queries, k) int64."""
    block_sum: Any
    """(batch, heads, query blocks, key blocks) float32: sums of weights."""
    block_max: Any
    """The same: largest weights."""


class Tile(NamedTuple):
    """Where a tile of queries stands: one worker's memory, used again for every tile."""

    query: Any
    key: Any
    value: Any
    scores: Any
    out: Any
    most: Any
    """(rows,) float32: the largest score so far."""
    mass: Any
    """(rows,) float64: the sum of `2**(score - most)`."""
    moment: Any
    """(rows,) float64: the sum of the same times `score - most`."""
    chunk_max: Any
    """(rows, chunks of all keys) float32."""
    chunk_sum: Any
    """The same, relative to `reference`."""
    reference: Any
    """(rows, key tiles) float32: `most` when the tile went by."""
    top_scores: Any
    top_places: Any
    part: Any
    """(columns,) float32: what the keys received from one tile of queries."""
    total: Any
    """(columns,) float64: from all."""


def workspace(plan: Plan, keys: int, top: int) -> Tile:
    """A worker's memory: the tile and, for each of its rows, what grows with the number of keys."""
    stride = -(-plan.columns // WINDOW) * WINDOW
    tiles = -(-keys // plan.columns) + 1  # one more, as tiles may begin between two others
    chunks = tiles * (plan.columns // plan.chunk)
    rows, single = plan.rows, np.float32
    return Tile(
        query=np.empty((rows, plan.features), single),
        key=np.empty((plan.columns, plan.features), single),
        value=np.empty((plan.columns, plan.values), single),
        scores=np.full((rows, stride), NOTHING),
        out=np.empty((rows, plan.values), single),
        most=np.empty(rows, single),
        mass=np.empty(rows),
        moment=np.empty(rows),
        chunk_max=np.empty((rows, chunks), single),
        chunk_sum=np.empty((rows, chunks), single),
        reference=np.empty((rows, tiles), single),
        top_scores=np.empty((rows, top), single),
        top_places=np.empty((rows, top), np.int64),
        part=np.empty(plan.columns, single),
        total=np.empty(plan.columns),
    )


@spliced
def pick(array, b, h):
    """The (batch, head) part of an array whose leading axes may be 1."""
    return array[b if array.shape[0] > 1 else 0, h if array.shape[1] > 1 else 0]


@inlined
def span(low, high, first, count):
    """The range of keys that any of these queries sees."""
    begin, end = low[first], high[first]
    for i in range(first + 1, first + count):
        begin, end = min(begin, low[i]), max(end, high[i])
    return begin, end


@inlined
def adjust(scores, bias, allowed, i, j0, width):
    """Adds a row of the bias in bits, and -inf where a Boolean mask forbids."""
    if bias.size:
        line = bias[i if bias.shape[0] > 1 else 0]
        step = 1 if line.size > 1 else 0
        for j in range(width):
            scores[j] += line[(j0 + j) * step] * np.float32(1 / LN2)
    if allowed.size:
        may = allowed[i if allowed.shape[0] > 1 else 0]
        step = 1 if may.size > 1 else 0
        for j in range(width):
            if not may[(j0 + j) * step]:
                scores[j] = NOTHING


@inlined
def score_tile(sgemm, plan, direction, query, key, rows, width, scores):
    """`scores[:rows, :width]` in bits."""
    if direction.size:
        additive_scores(direction, query, key, rows, width, scores)
    else:
        scale = plan.scale / LN2
        multiply_transposed(sgemm, rows, width, plan.features, scale, query, key, 0.0, scores)


@inlined
def take_in(plan, tile, r, scores, padded, j0, t, asked):
    """Renews one row's state with the `t`th tile of scores, which become weights."""
    chunks, c0 = padded // plan.chunk, j0 // plan.chunk
    before = tile.most[r]
    maxima = tile.chunk_max[r, c0 : c0 + chunks]
    most = max(before, maximum_of_chunks(scores, plan.chunk, chunks, maxima))
    if asked.top_places.size:
        keep_largest(scores, padded, j0, tile.top_scores[r], tile.top_places[r])
    tile.most[r] = tile.reference[r, t] = most
    sums = tile.chunk_sum[r, c0 : c0 + chunks]
    if most == NOTHING:  # nothing seen yet
        scores[:padded] = 0
        sums[:] = 0
        return
    if before != most:
        shift = floor_at_lowest(before - most)
        factor = exp2(shift)
        tile.moment[r] = factor * (tile.moment[r] + tile.mass[r] * shift)
        tile.mass[r] *= factor
        out = tile.out[r]
        for d in range(out.size):
            out[d] *= factor
    mass, moment = exponentials(scores, plan.chunk, chunks, most, sums)
    tile.mass[r] += mass
    tile.moment[r] += moment


@inlined
def finish(plan, tile, r, answer, b, h, i):
    """Writes what one row has come to."""
    mass, most = tile.mass[r], tile.most[r]
    some = mass != 0
    log_mass = np.log2(mass) if some else 0.0
    store(tile.out, r, np.float32(1 / mass if some else 0.0), answer.output[b, h, i])
    answer.lse[b, h, i] = LN2 * (most + log_mass) if some else NOTHING
    if answer.entropy.size:
        answer.entropy[b, h, i] = LN2 * max(log_mass - tile.moment[r] / mass, 0.0) if some else 0.0
    for k in range(answer.top_places.shape[3]):
        score = tile.top_scores[r, k]
        found = score != NOTHING
        answer.top_places[b, h, i, k] = tile.top_places[r, k] if found else -1
        answer.top_weights[b, h, i, k] = 2.0 ** (score - most) / mass if found else 0.0


@inlined
def pool_row(plan, tile, r, sums, maxima, begin, end):
    """Adds one row's chunks to the sums and maxima of its block of queries."""
    lse = tile.most[r] + np.float32(np.log2(tile.mass[r]))
    sums, maxima = contiguous(sums), contiguous(maxima)
    per_tile = plan.columns // plan.chunk
    last = (end + plan.chunk - 1) // plan.chunk
    for t, c0 in enumerate(range(begin // plan.chunk, last, per_tile)):
        factor = weight(tile.reference[r, t], lse)
        for c in range(c0, min(c0 + per_tile, last)):
            sums[c] += factor * tile.chunk_sum[r, c]
            maxima[c] = larger(maxima[c], weight(tile.chunk_max[r, c], lse))


@inlined
def weight(score, lse):
    """`2**(score - lse)`, where rounding may have left `score` a little above."""
    return exp2(min(floor_at_lowest(score - lse), np.float32(0)))


@compiled
def forward(counter, sgemm, tile, tasks, inputs, plan, answer):
    """Takes tiles of queries from `counter` and fills their part of `answer`."""
    batch, heads, queries = answer.lse.shape
    keys = inputs.key.shape[2]
    group = heads // inputs.key.shape[1]
    tiles = (queries + plan.rows - 1) // plan.rows
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        task = tasks - 1 - task  # under a causal mask the last queries are the most work: first
        b, h, i0 = task // tiles // heads, task // tiles % heads, task % tiles * plan.rows
        rows = min(plan.rows, queries - i0)
        low, high = pick(inputs.low, b, h), pick(inputs.high, b, h)
        bias, allowed = pick(inputs.bias, b, h), pick(inputs.allowed, b, h)
        key, value = inputs.key[b, h // group], inputs.value[b, h // group]
        load(inputs.query[b, h], i0, rows, tile.query)
        tile.most[:] = NOTHING
        tile.mass[:] = 0
        tile.moment[:] = 0
        tile.out[:] = 0
        tile.top_scores[:] = NOTHING
        begin, end = span(low, high, i0, rows)
        begin = begin // plan.chunk * plan.chunk
        for j0 in range(begin, end, plan.columns):
            width = min(plan.columns, end - j0)
            padded = (width + plan.chunk - 1) // plan.chunk * plan.chunk
            load(key, j0, width, tile.key)
            load(value, j0, width, tile.value)
            score_tile(
                sgemm, plan, inputs.direction, tile.query, tile.key, rows, width, tile.scores
            )
            for r in range(rows):
                i = i0 + r
                scores = tile.scores[r]
                adjust(scores, bias, allowed, i, j0, width)
                forbid(scores, low[i] - j0, high[i] - j0, width, scores.size)
                take_in(plan, tile, r, scores, padded, j0, (j0 - begin) // plan.columns, answer)
                if plan.drop_below:
                    drop(scores, width, plan.row_keys[b * heads + h, i],
                         plan.column_keys[j0 : j0 + width], plan.drop_below, plan.survivor)  # fmt: skip
            multiply(sgemm, rows, plan.values, width, 1.0, tile.scores, tile.value, 1.0, tile.out)
        for r in range(rows):
            finish(plan, tile, r, answer, b, h, i0 + r)
            if answer.block_sum.size and tile.mass[r] > 0:
                block = (i0 + r) // plan.query_block
                pool_row(plan, tile, r, answer.block_sum[b, h, block], answer.block_max[b, h, block],
                         begin, end)  # fmt: skip


@compiled
def received(counter, sgemm, tile, tasks, inputs, plan, lse, answer):
    """The second pass: the attention each key received, `answer[b, h, j] = sum_i weights[i, j]`.

    A task is a tile of keys, past which all tiles of queries go by, so that one worker makes each sum.
    """
    batch, heads, queries = lse.shape
    keys = inputs.key.shape[2]
    group = heads // inputs.key.shape[1]
    tiles = (keys + plan.columns - 1) // plan.columns
    part, total = tile.part, tile.total
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        b, h, j0 = task // tiles // heads, task // tiles % heads, task % tiles * plan.columns
        width = min(plan.columns, keys - j0)
        low, high = pick(inputs.low, b, h), pick(inputs.high, b, h)
        bias, allowed = pick(inputs.bias, b, h), pick(inputs.allowed, b, h)
        load(inputs.key[b, h // group], j0, width, tile.key)
        total[:] = 0
        for i0 in range(0, queries, plan.rows):
            rows = min(plan.rows, queries - i0)
            begin, end = span(low, high, i0, rows)
            if begin >= j0 + width or end <= j0:
                continue
            load(inputs.query[b, h], i0, rows, tile.query)
            score_tile(sgemm, plan, inputs.direction, tile.query, tile.key, rows, width, tile.scores)
            part[:] = 0
            for r in range(rows):
                i = i0 + r
                log_mass = np.float32(lse[b, h, i] / LN2)
                if log_mass == NOTHING:
                    continue
                scores = tile.scores[r]
                adjust(scores, bias, allowed, i, j0, width)
                forbid(scores, low[i] - j0, high[i] - j0, width, width)
                for j in range(width):
                    part[j] += weight(scores[j], log_mass)
            for j in range(width):
                total[j] += part[j]
        for j in range(width):
            answer[b, h, j0 + j] = total[j]
