"""The one pass: output and statistics of attention, tile by tile.

For a tile of queries the keys go by in tiles. Each tile's scores are made by a matrix product, and while
they lie in the cache everything is taken from them (Milakov and Gimelshein 2018; Dao 2022)::

    s   = scale * q k^T                     one product, in bits (scale includes log2 e)
    m'  = max(m, max s)                     and the largest of each chunk: pooled max
    p   = 2**(s - m')
    l'  = l 2**(m - m') + sum p             and the sum of each chunk: pooled mean
    a'  = (a + l (m - m')) 2**(m - m') + sum p (s - m')                     entropy
    o'  = o 2**(m - m') + p v               one product

and at the end `output = o / l`, `lse = ln 2 (m + log2 l)`, `entropy = ln 2 (log2 l - a / l)`.

The attention a key received is a sum over queries, which needs the final `lse` of each: `received` is a
second pass that makes the scores again, without the product with values.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.rowwise import (
    any_nan,
    drop,
    exponentials,
    forbid,
    just_below,
    keep_largest,
    load,
    maxima_of_chunks,
    reached_by,
    store,
    sums_of_chunks,
)
from regard.attention.kernels.fused.tile import (
    LN2,
    adjust,
    find,
    pick,
    score_tile,
    span,
    weight,
)
from regard.attention.kernels.limits import FLUSH_ROWS, STRIP_ROWS
from regard.compiled.blas import gemm_nn
from regard.compiled.intrinsics import assume_contiguous, larger, next_index, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2

__all__ = ["forward", "received"]


@inlined
def reset(tile):
    """A tile before its first key."""
    tile.most[:] = NEGATIVE_INFINITY
    tile.mass[:] = 0
    tile.moment[:] = 0
    tile.out[:] = 0
    tile.top_scores[:] = NEGATIVE_INFINITY


@inlined
def look(tile, r, scores, edges, c0, count, top):
    """The maxima of a row's chunks, and the bound that scores must pass to enter its list."""
    maxima = tile.chunk_max[r, c0 : c0 + count]
    tile.peak[r] = maxima_of_chunks(scores, edges, tile.parts, maxima)
    if top:
        bound = tile.top_scores[r, top - 1]
        if bound == NEGATIVE_INFINITY:
            bound = just_below(reached_by(scores, edges[count] - edges[0], top, tile.lanes))
        tile.bound[r] = bound


@inlined
def enter_largest(tile, first, last, edges, c0, count):
    """Enters what is above the bounds of these rows into their lists.

    The chunks to look into are listed first, without a branch: where they are cannot be guessed.
    """
    found = 0
    for r in range(first, last):
        for c in range(count):
            tile.hits[found] = r * count + c
            found += tile.chunk_max[r, c0 + c] > tile.bound[r]
    for i in range(found):
        r, c = tile.hits[i] // count, tile.hits[i] % count
        keep_largest(tile.scores[r], edges[c] - edges[0], edges[c + 1] - edges[0],
                     tile.bound[r], edges[0], tile.top_scores[r], tile.top_places[r])  # fmt: skip


@inlined
def take_in(tile, r, scores, edges, c0, count, t):
    """Renews one row's state with its scores in the `t`th tile of keys, which become weights.

    The tile is made of the `count` chunks from `c0` on.
    """
    before = tile.most[r]
    most = max(before, tile.peak[r])
    tile.most[r] = tile.reference[r, t] = most
    if most == NEGATIVE_INFINITY:  # nothing seen yet, or nothing that is a number
        if any_nan(scores, edges[count] - edges[0]):
            tile.mass[r] = np.nan
        scores[:] = 0
        tile.chunk_sum[r, c0 : c0 + count] = 0
        return
    if before != most:
        shift = clamp_exponent(before - most)
        factor = exp2(shift)
        tile.moment[r] = factor * (tile.moment[r] + tile.mass[r] * shift)
        tile.mass[r] *= factor
        out = tile.out[r]
        for d in range(out.size):
            out[d] *= factor
    tile.moment[r] += exponentials(scores, edges[count] - edges[0], most)
    sums = tile.chunk_sum[r, c0 : c0 + count]
    tile.mass[r] += sums_of_chunks(scores, edges, tile.parts, sums)


@inlined
def finish(tile, r, answer, b, h, i):
    """Writes what one row has come to; a score that was no number has made all of it NaN."""
    mass, most = tile.mass[r], tile.most[r]
    some = mass != 0
    log_mass = np.log2(mass) if some else 0.0
    store(tile.out, r, np.float32(1 / mass if some else 0.0), answer.output[b, h, i])
    answer.lse[b, h, i] = LN2 * (most + log_mass) if some else -np.inf
    if answer.entropy.size:
        entropy = log_mass - tile.moment[r] / mass if some else 0.0
        answer.entropy[b, h, i] = LN2 * entropy if not (entropy < 0) else 0.0
    places, spare = tile.top_places[r], 0
    for k in range(answer.top_places.shape[3]):
        score = tile.top_scores[r, k]
        if score == NEGATIVE_INFINITY:  # fewer keys than asked for: those of weight 0, in order
            while listed(places, k, spare):
                spare += 1
            places[k] = spare
        answer.top_places[b, h, i, k] = places[k]
        share = 2.0 ** (score - most) if score != NEGATIVE_INFINITY else 0.0
        answer.top_weights[b, h, i, k] = share / mass if some else 0.0


@inlined
def listed(places, count, place):
    """Whether `place` is among the first `count`."""
    for k in range(count):  # noqa: SIM110, compiled code has no generators
        if places[k] == place:
            return True
    return False


@inlined
def pool_row(tile, r, sums, maxima, tiles):
    """Adds one row's chunks to its block of queries."""
    most, share = tile.most[r], np.float32(1 / tile.mass[r])
    for t in range(tiles):
        factor = share * weight(tile.reference[r, t], most)
        first, last = tile.firsts[t], tile.firsts[t + 1]
        these, all_rows = tile.chunk_sum[r, first:last], assume_contiguous(sums)[first:last]
        for c in range(these.size):
            all_rows[c] += factor * these[c]
    first, last = tile.firsts[0], tile.firsts[tiles]
    these, all_rows = tile.chunk_max[r, first:last], assume_contiguous(maxima)[first:last]
    for c in range(these.size):
        all_rows[c] = larger(all_rows[c], share * weight(these[c], most))


@compiled
def forward(counter, sgemm, tile, tasks, inputs, plan, answer):
    """Takes tiles of queries from `counter` and fills their part of `answer`."""
    heads = answer.lse.shape[1]
    group = heads // inputs.key.shape[1]
    tiles = plan.row_tiles.size - 1
    edges = plan.key_edges
    top = answer.top_places.shape[3]
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        task = tasks - 1 - task  # under a causal mask the last queries are the most work: first
        b, h, n = task // tiles // heads, task // tiles % heads, task % tiles
        i0 = plan.row_tiles[n]
        rows = plan.row_tiles[n + 1] - i0
        low, high = pick(inputs.low, b, h), pick(inputs.high, b, h)
        bias, allowed = pick(inputs.bias, b, h), pick(inputs.allowed, b, h)
        key, value = inputs.key[b, h // group], inputs.value[b, h // group]
        load(inputs.query[b, h], i0, rows, tile.query)
        reset(tile)
        begin, end = span(low, high, i0, rows)
        t, c0 = 0, find(edges, begin)
        while edges[c0] < end:
            tile.firsts[t], count = c0, 1
            while edges[c0 + count] < end and edges[c0 + count + 1] - edges[c0] <= plan.columns:
                count += 1
            j0 = edges[c0]
            width = edges[c0 + count] - j0
            load(key, j0, width, tile.key)
            load(value, j0, width, tile.value)
            score_tile(sgemm, inputs, tile.query, tile.key, rows, width, tile.scores)
            these = edges[c0 : c0 + count + 1]
            for first in range(0, rows, STRIP_ROWS):
                last = min(first + STRIP_ROWS, rows)
                for r in range(first, last):
                    i = i0 + r
                    adjust(tile.scores[r], bias, allowed, i, j0, width)
                    forbid(tile.scores[r], low[i] - j0, high[i] - j0, width)
                    look(tile, r, tile.scores[r], these, c0, count, top)
                if top:
                    enter_largest(tile, first, last, these, c0, count)
                for r in range(first, last):
                    take_in(tile, r, tile.scores[r], these, c0, count, t)
                    if inputs.drop_below:
                        drop(tile.scores[r], width, inputs.row_keys[b * heads + h, i0 + r],
                             inputs.column_keys[j0 : j0 + width], inputs.drop_below)  # fmt: skip
            if tile.value.shape[1]:  # a map that is asked for statistics multiplies with nothing
                gemm_nn(sgemm, rows, tile.value.shape[1], width, inputs.survivor, tile.scores,
                         tile.value, 1.0, tile.out)  # fmt: skip
            t, c0 = t + 1, c0 + count
        tile.firsts[t] = c0
        for r in range(rows):
            i = i0 + r
            finish(tile, r, answer, b, h, i)
            if answer.block_sum.size and tile.mass[r] > 0:
                block = find(plan.query_edges, i)
                pool_row(tile, r, answer.block_sum[b, h, block], answer.block_max[b, h, block], t)


@compiled
def received(counter, sgemm, tile, tasks, inputs, plan, lse, answer):
    """The second pass: the attention each key received, `answer[b, h, j] = sum_i weights[i, j]`.

    A task is a tile of keys, past which all tiles of queries go by: one worker makes each sum.
    """
    wide_vectors()
    heads = lse.shape[1]
    keys = inputs.key.shape[2]
    group = heads // inputs.key.shape[1]
    tiles = (keys + plan.columns - 1) // plan.columns
    total, part = tile.total, tile.part
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
        part[:] = 0
        for n in range(plan.row_tiles.size - 1):
            i0 = plan.row_tiles[n]
            rows = plan.row_tiles[n + 1] - i0
            begin, end = span(low, high, i0, rows)
            if begin >= j0 + width or end <= j0:
                continue
            load(inputs.query[b, h], i0, rows, tile.query)
            score_tile(sgemm, inputs, tile.query, tile.key, rows, width, tile.scores)
            for r in range(rows):
                i = i0 + r
                if lse[b, h, i] != -np.inf:
                    scores = tile.scores[r]
                    adjust(scores, bias, allowed, i, j0, width)
                    forbid(scores, low[i] - j0, high[i] - j0, width)
                    exact = lse[b, h, i] / LN2
                    near = np.float32(exact)
                    rest = np.float32(2.0 ** (near - exact))
                    for j in range(width):
                        part[j] += rest * weight(scores[j], near)
                if r % FLUSH_ROWS == FLUSH_ROWS - 1 or r == rows - 1:
                    for j in range(width):
                        total[j] += part[j]
                    part[:] = 0
        for j in range(width):
            answer[b, h, j0 + j] = total[j]
