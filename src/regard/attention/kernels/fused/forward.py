"""The one pass: output and statistics of attention, tile by tile.

For a tile of queries the keys go by in tiles. Each tile's scores are made by a matrix product, and
while they lie in the cache everything is taken from them (Milakov and Gimelshein 2018; Dao et al.
2022)::

    s   = scale * q k^T                     one product, in bits (scale includes log2 e)
    m'  = max(m, max s)                     and the largest of each chunk: pooled max
    p   = 2**(s - m')
    l'  = l 2**(m - m') + sum p             and the sum of each chunk: pooled mean
    a'  = (a + l (m - m')) 2**(m - m') + sum p (s - m')                     entropy
    o'  = o 2**(m - m') + p v               one product

and at the end `output = o / l`, `lse = ln 2 (m + log2 l)`, `entropy = ln 2 (log2 l - a / l)`. In the
code m is `row_max`, l `row_sum`, a `row_moment`, o `out`.

A sink belongs to no key, so that it enters at the end alone: with `L = log2(2**sink + l 2**m)` and the factor
`f = 2**(m - L)`, which is `1 / l` without one, `output = f o`, `lse = ln 2 L` and
`entropy = ln 2 f (l (L - m) - a)`, where `L - m` is made without L.

The attention a key received is a sum over queries, which needs the final `lse` of each: `received` is a
second pass that makes the scores again, without the product with values. Where a tile holds all keys, weights
are final at once, and blocks and received mass are taken from its columns (`columns`).

Names of sizes and indices: `b` example, `h` query head, `i` query, `j` key, `r` row of the tile, `c`
chunk of keys, `t` tile of keys; `i0` and `j0` are the first query and key of a tile.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.columns import add_to_columns, flush_columns
from regard.attention.kernels.fused.rowwise import (
    apply_dropout,
    chunk_maxima,
    chunk_sums,
    exp2_row,
    has_nan,
    insert_above,
    load_rows,
    mask_outside,
    next_below,
    store_row,
    topk_bound,
)
from regard.attention.kernels.fused.tile import (
    LN2,
    add_mask,
    cap_row,
    find_segment,
    head_of,
    key_range,
    rounded_lse,
    score_tile,
    weight,
)
from regard.attention.kernels.limits import FLUSH_ROWS, STRIP_ROWS
from regard.compiled.blas import gemm_nn
from regard.compiled.intrinsics import assume_contiguous, larger, next_index, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2

__all__ = ["forward", "received"]


@inlined
def reset(work):
    """Sets every row of a tile of queries to the state before its first key."""
    work.row_max[:] = NEGATIVE_INFINITY
    work.row_sum[:] = 0
    work.row_moment[:] = 0
    work.out[:] = 0
    work.top_scores[:] = NEGATIVE_INFINITY


@inlined
def row_maxima(work, r, scores, edges, c0, count, top):
    """The maxima of a row's chunks, and the bound that scores must exceed to enter its list."""
    maxima = work.chunk_max[r, c0 : c0 + count]
    work.tile_max[r] = chunk_maxima(scores, edges, work.parts, maxima)
    if top:
        bound = work.top_scores[r, top - 1]
        # The list is not full: this tile gives a bound, just below which the scores that make it get in.
        if bound == NEGATIVE_INFINITY:
            bound = next_below(topk_bound(scores, edges[count] - edges[0], top, work.lanes))
        work.bound[r] = bound


@inlined
def update_topk(work, first, last, edges, c0, count):
    """Inserts what exceeds the bounds of these rows into their lists."""
    # Chunks whose maximum exceeds the bound are few and in no order that a processor could guess, so
    # that a branch for each would be mispredicted. They are listed without one: each is written, and
    # the count grows only if it holds.
    found = 0
    for r in range(first, last):
        for c in range(count):
            work.candidates[found] = r * count + c
            found += work.chunk_max[r, c0 + c] > work.bound[r]
    for i in range(found):
        r, c = work.candidates[i] // count, work.candidates[i] % count
        insert_above(work.scores[r], edges[c] - edges[0], edges[c + 1] - edges[0], work.bound[r],
                     edges[0], work.top_scores[r], work.top_indices[r])  # fmt: skip


@inlined
def online_softmax_update(work, r, scores, edges, c0, count, t):
    """Takes one row's scores in the `t`th tile of keys into its running state; they become weights.

    The tile is made of the `count` chunks from `c0` on. Weights are relative to `reference[r, t]`, the
    maximum so far.
    """
    before = work.row_max[r]
    row_max = max(before, work.tile_max[r])
    work.row_max[r] = work.reference[r, t] = row_max
    if row_max == NEGATIVE_INFINITY:
        # Nothing seen so far, or nothing that is a number: the maximum of both is -inf. A NaN among
        # larger scores needs no look, as its exponential makes the sum NaN.
        if has_nan(scores, edges[count] - edges[0]):
            work.row_sum[r] = np.nan
        scores[:] = 0
        work.chunk_sum[r, c0 : c0 + count] = 0
        return
    if before != row_max:
        # A larger maximum: what was summed relative to the old one shrinks. The moment is a sum of p (s
        # - m), so that the change of m enters once for every unit of the sum.
        shift = clamp_exponent(before - row_max)
        factor = exp2(shift)
        work.row_moment[r] = factor * (work.row_moment[r] + work.row_sum[r] * shift)
        work.row_sum[r] *= factor
        out = work.out[r]
        for d in range(out.size):
            out[d] *= factor
    work.row_moment[r] += exp2_row(scores, edges[count] - edges[0], row_max)
    sums = work.chunk_sum[r, c0 : c0 + count]
    work.row_sum[r] += chunk_sums(scores, edges, work.parts, sums)


@inlined
def normalizer_of(row_sum, row_max, sink):
    """The factor that makes weights of `2**(score - row_max)`, the log-sum-exp in bits, and its excess.

    The excess over the largest score is no difference of the two: where all scores are huge, float64 has no
    room for both in one number.

    Args:
        row_sum: of `2**(score - row_max)` over all keys; 0 for a query that sees nothing.
        row_max: the largest score, in bits.
        sink: in bits; -inf for none.
    """
    if row_sum == 0 and sink == sink:
        return 0.0, sink, 0.0
    if sink == -np.inf:
        excess = np.log2(row_sum)
        return 1 / row_sum, row_max + excess, excess
    reference = max(np.float64(row_max), sink)
    share = 2.0 ** (row_max - reference)
    total = row_sum * share + 2.0 ** (sink - reference)
    bits = np.log2(total)
    return share / total, reference + bits, reference - row_max + bits


@inlined
def write_row(work, r, outputs, b, h, i, sink):
    """Writes the results of one row; returns the factor of its weights.

    A score that was NaN has made its sum, and with it all of them, NaN.
    """
    row_sum, row_max = work.row_sum[r], work.row_max[r]
    factor, lse, excess = normalizer_of(row_sum, row_max, sink)
    store_row(work.out, r, np.float32(factor), outputs.output[b, h, i])
    outputs.lse[b, h, i] = LN2 * lse
    if outputs.entropy.size:
        # Zero where the query sees nothing, whose maximum is -inf; NaN where the factor is.
        bits = row_sum * excess - work.row_moment[r] if row_sum != 0 else 0.0
        entropy = factor * bits
        outputs.entropy[b, h, i] = LN2 * entropy if not (entropy < 0) else 0.0  # keeps a NaN
    if outputs.max_score.size:
        # A maximum does not show NaN scores, and the sum does.
        outputs.max_score[b, h, i] = np.nan if row_sum != row_sum else LN2 * row_max
    indices, spare = work.top_indices[r], 0
    for k in range(outputs.top_indices.shape[3]):
        score = work.top_scores[r, k]
        if score == NEGATIVE_INFINITY:
            # Fewer keys seen than requested: the list ends in keys of weight 0, the first that are not in it.
            while contains(indices, k, spare):
                spare += 1
            indices[k] = spare
        outputs.top_indices[b, h, i, k] = indices[k]
        share = 2.0 ** (score - row_max) if score != NEGATIVE_INFINITY else 0.0
        outputs.top_weights[b, h, i, k] = share * factor
    return factor


@inlined
def contains(indices, count, index):
    """Whether `index` is among the first `count`."""
    for k in range(count):  # noqa: SIM110, compiled code has no generators
        if indices[k] == index:
            return True
    return False


@inlined
def pool_row(work, r, share, sums, maxima, tiles):
    """Adds the chunks of one row to its part of a block of queries; `share` is the factor of its weights."""
    row_max = work.row_max[r]
    # Sums were taken relative to the maximum of their time: each tile has a factor of its own.
    for t in range(tiles):
        factor = share * weight(work.reference[r, t], row_max)
        first, last = work.first_chunks[t], work.first_chunks[t + 1]
        of_row, of_block = work.chunk_sum[r, first:last], assume_contiguous(sums)[first:last]
        for c in range(of_row.size):
            of_block[c] += factor * of_row[c]
    # Maxima were kept as scores, which depend on no reference.
    first, last = work.first_chunks[0], work.first_chunks[tiles]
    of_row, of_block = work.chunk_max[r, first:last], assume_contiguous(maxima)[first:last]
    for c in range(of_row.size):
        of_block[c] = larger(of_block[c], share * weight(of_row[c], row_max))


@compiled
def forward(counter, sgemm, work, tasks, inputs, plan, outputs):
    """Takes tiles of queries from `counter` and fills their part of `outputs`.

    Args:
        counter: shared by the workers; see `next_index`.
        sgemm: address of the matrix product.
        work: this worker's `ForwardWorkspace`.
        tasks: tiles of queries of all examples and heads.
        inputs: `Inputs`.
        plan: `ForwardPlan`.
        outputs: `Outputs`.
    """
    heads = outputs.lse.shape[1]
    group = heads // inputs.key.shape[1]
    tiles = plan.row_tiles.size - 1
    edges = plan.key_edges
    keys = inputs.key.shape[2]
    top = outputs.top_indices.shape[3]
    # Where a tile holds whole rows, their weights are final at once, and columns are summed as they go by.
    by_column = plan.whole and (outputs.block_sum.size or outputs.received.size)
    work.received_part[:] = 0
    work.largest_part[:] = 0
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        task = tasks - 1 - task  # under a causal mask the last queries are the most work: first
        b, h, n = task // tiles // heads, task // tiles % heads, task % tiles
        i0 = plan.row_tiles[n]
        rows = plan.row_tiles[n + 1] - i0
        low, high = head_of(inputs.low, b, h), head_of(inputs.high, b, h)
        bias, allowed = head_of(inputs.bias, b, h), head_of(inputs.allowed, b, h)
        key, value = inputs.key[b, h // group], inputs.value[b, h // group]
        sink = head_of(inputs.sink, b, h) / LN2 if inputs.sink.size else -np.inf
        load_rows(inputs.query[b, h], i0, rows, work.query)
        reset(work)
        work.received_total[:] = 0
        part = find_segment(plan.query_edges, i0)
        # Only tiles of keys that some query of this tile sees: a window costs length times window.
        begin, end = key_range(low, high, i0, rows)
        t, c0 = 0, find_segment(edges, begin)
        while edges[c0] < end:
            # A tile of keys: as many whole chunks as fit, up to the last that is seen.
            work.first_chunks[t], count = c0, 1
            while edges[c0 + count] < end and edges[c0 + count + 1] - edges[c0] <= plan.columns:
                count += 1
            j0 = edges[c0]
            width = edges[c0 + count] - j0
            # Copied, as float32 side by side: faster than products that read the user's arrays themselves.
            load_rows(key, j0, width, work.key)
            load_rows(value, j0, width, work.value)
            score_tile(sgemm, inputs, work.query, work.key, rows, width, work.scores)
            chunks = edges[c0 : c0 + count + 1]
            # A strip of rows passes through all steps while it lies in the level-1 cache.
            for first in range(0, rows, STRIP_ROWS):
                last = min(first + STRIP_ROWS, rows)
                for r in range(first, last):
                    i = i0 + r
                    cap_row(work.scores[r], width, inputs.cap)
                    add_mask(work.scores[r], bias, allowed, i, j0, width)
                    mask_outside(work.scores[r], low[i] - j0, high[i] - j0, width)
                    row_maxima(work, r, work.scores[r], chunks, c0, count, top)
                # Before the scores become weights, and for the whole strip, whose candidates are listed
                # together.
                if top:
                    update_topk(work, first, last, chunks, c0, count)
                for r in range(first, last):
                    online_softmax_update(work, r, work.scores[r], chunks, c0, count, t)
                    if by_column:
                        # Not for a row that sees nothing, nor for one of NaN: `propagate_nan` puts it in later.
                        if work.row_sum[r] > 0:
                            share = 1 / work.row_sum[r]
                            if sink != -np.inf:
                                share = normalizer_of(work.row_sum[r], work.row_max[r], sink)[0]
                            add_to_columns(work, r, np.float32(share), j0, width)
                        # A few rows in float32, and no more than those of one part of a block.
                        ends = i0 + r + 1 == plan.query_edges[part + 1]
                        if ends or r + 1 == last:
                            p = part if outputs.block_sum.size else 0
                            flush_columns(
                                work,
                                keys,
                                plan.pool_edges,
                                outputs.block_sum[b, h, p],
                                outputs.block_max[b, h, p],
                            )
                        part += ends
                    # After the sums, which are those of all weights: statistics show them before dropout.
                    if inputs.drop_below:
                        apply_dropout(work.scores[r], width, inputs.row_keys[b * heads + h, i0 + r],
                                      inputs.column_keys[j0 : j0 + width], inputs.drop_below)  # fmt: skip
            if work.value.shape[1]:  # a map that computes a statistic later has no values
                gemm_nn(sgemm, rows, work.value.shape[1], width, inputs.keep_scale, work.scores,
                        work.value, 1.0, work.out)  # fmt: skip
            t, c0 = t + 1, c0 + count
        work.first_chunks[t] = c0
        if outputs.received.size:
            for j in range(keys):
                outputs.received[b, h, n, j] = work.received_total[j]
        for r in range(rows):
            i = i0 + r
            share = np.float32(write_row(work, r, outputs, b, h, i, sink))
            if outputs.block_sum.size and not plan.whole and work.row_sum[r] > 0:
                part = find_segment(plan.query_edges, i)
                pool_row(
                    work, r, share, outputs.block_sum[b, h, part], outputs.block_max[b, h, part], t
                )


@compiled
def received(counter, sgemm, work, tasks, inputs, plan, lse, out):
    """The second pass: the attention each key received, `out[b, h, j] = sum_i weights[i, j]`.

    A task is a tile of keys, past which all tiles of queries go by: one worker makes each sum, so that
    its bits do not depend on the number of workers.
    """
    wide_vectors()
    heads = lse.shape[1]
    keys = inputs.key.shape[2]
    group = heads // inputs.key.shape[1]
    tiles = (keys + plan.columns - 1) // plan.columns
    total, part = work.received_total, work.received_part
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        b, h, j0 = task // tiles // heads, task // tiles % heads, task % tiles * plan.columns
        width = min(plan.columns, keys - j0)
        low, high = head_of(inputs.low, b, h), head_of(inputs.high, b, h)
        bias, allowed = head_of(inputs.bias, b, h), head_of(inputs.allowed, b, h)
        load_rows(inputs.key[b, h // group], j0, width, work.key)
        total[:] = 0
        part[:] = 0
        for n in range(plan.row_tiles.size - 1):
            i0 = plan.row_tiles[n]
            rows = plan.row_tiles[n + 1] - i0
            begin, end = key_range(low, high, i0, rows)
            if begin >= j0 + width or end <= j0:  # no query of this tile sees any of these keys
                continue
            load_rows(inputs.query[b, h], i0, rows, work.query)
            score_tile(sgemm, inputs, work.query, work.key, rows, width, work.scores)
            for r in range(rows):
                i = i0 + r
                if lse[b, h, i] != -np.inf:
                    scores = work.scores[r]
                    cap_row(scores, width, inputs.cap)
                    add_mask(scores, bias, allowed, i, j0, width)
                    mask_outside(scores, low[i] - j0, high[i] - j0, width)
                    rounded, correction = rounded_lse(lse[b, h, i])
                    for j in range(width):
                        part[j] += correction * weight(scores[j], rounded)
                # A few rows in float32, so that the loop vectorises; all rows in float64.
                if r % FLUSH_ROWS == FLUSH_ROWS - 1 or r == rows - 1:
                    for j in range(width):
                        total[j] += part[j]
                    part[:] = 0
        for j in range(width):
            out[b, h, j0 + j] = total[j]
