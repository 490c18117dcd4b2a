"""Gradients of the one pass, tile by tile: weights and dropout are made again, from `lse` and the hash.

With `P` the weights, `M` the dropout mask over `1 - rate`, and `O = (P M) V` (Dao 2022)::

    dV = (P M)^T dO
    dS = P (M (dO V^T) - D)            D = rowsum(dO O)
    dQ = scale dS K,   dK = scale dS^T Q

Gradients that reach a row's entropy `H` or `lse` enter as two numbers of the row, since
`dH/dS = -P (log P + H)` and `dlse/dS = P`::

    dS = P (M (dO V^T) + constant + slope log P)
    constant = -D - dH H + dlse,   slope = -dH

A task is a range of keys of one key head, whose `dK` and `dV` it owns; `dQ` it adds to its own copy, one
for each range, so nothing is added by two workers and the bits do not depend on who is faster.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.additive import additive_gradients
from regard.attention.kernels.fused.rowwise import forbid, load, mix
from regard.attention.kernels.fused.tile import LN2, adjust, pick, score_tile, span
from regard.compiled.blas import gemm_nn, gemm_nt, gemm_tn
from regard.compiled.intrinsics import next_index, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import clamp_exponent, exp2

__all__ = ["backward"]

ZERO = np.float32(0)


@inlined
def differentiate(scores, flow, width, near, rest, constant, slope):
    """Turns a row of scores into weights, and what flows into the weights into what reaches scores.

    Args:
        scores: in bits; become weights.
        flow: `dO V^T`; becomes `dS`.
        width: how many.
        near: the row's `lse` in bits, in float32.
        rest: `2**(near - lse)`, what that rounding changes.
        constant: of the row.
        slope: of the row, for logarithms in bits.
    """
    wide_vectors()
    for j in range(width):
        x = clamp_exponent(scores[j] - near)
        p = rest * exp2(x)
        scores[j] = p
        flow[j] = p * (flow[j] + (constant + slope * x))


@inlined
def differentiate_dropped(
    scores, flow, width, near, rest, constant, slope, row_key, column_keys, drop_below
):
    """The same under dropout; what becomes weights are those that were kept."""
    wide_vectors()
    for j in range(width):
        x = clamp_exponent(scores[j] - near)
        p = rest * exp2(x)
        kept = mix(np.uint32(row_key ^ column_keys[j])) >= drop_below
        scores[j] = p if kept else ZERO
        arrived = flow[j] if kept else ZERO
        flow[j] = p * (arrived + (constant + slope * x))


@inlined
def differentiate_tile(tile, inputs, slopes, b, h, i0, rows, j0, width):
    """`tile.scores` become dropped weights and `tile.flow` becomes `dS`."""
    low, high = pick(inputs.low, b, h), pick(inputs.high, b, h)
    bias, allowed = pick(inputs.bias, b, h), pick(inputs.allowed, b, h)
    for r in range(rows):
        i = i0 + r
        scores, flow = tile.scores[r], tile.flow[r]
        lse = slopes.lse[b, h, i] / LN2
        if lse == -np.inf:
            scores[:] = 0
            flow[:] = 0
            continue
        adjust(scores, bias, allowed, i, j0, width)
        forbid(scores, low[i] - j0, high[i] - j0, width)
        near = np.float32(lse)
        rest = np.float32(2.0 ** (near - lse))
        constant = slopes.constant[b, h, i]
        slope = slopes.slope[b, h, i] * np.float32(LN2)
        if inputs.drop_below:
            differentiate_dropped(
                scores, flow, width, near, rest, constant, slope,
                inputs.row_keys[b * slopes.lse.shape[1] + h, i],
                inputs.column_keys[j0 : j0 + width], inputs.drop_below,
            )  # fmt: skip
        else:
            differentiate(scores, flow, width, near, rest, constant, slope)


@inlined
def spread_scores(sgemm, tile, inputs, rows, width, query_slope, direction_slope):
    """Adds what flows from `dS` to these queries, these keys and the direction."""
    if inputs.direction.size:
        additive_gradients(
            inputs.direction, tile.query, tile.key, tile.flow, rows, width,
            query_slope, tile.key_slope, direction_slope, tile.part,
        )  # fmt: skip
    else:
        features = tile.query.shape[1]
        gemm_nn(sgemm, rows, features, width, inputs.scale, tile.flow, tile.key, 1.0, query_slope)
        gemm_tn(sgemm, width, features, rows, inputs.scale, tile.flow,
                                 tile.query, 1.0, tile.key_slope)  # fmt: skip


@inlined
def copy(rows, count, out):
    """The first `count` rows to `out`."""
    for i in range(count):
        for d in range(out.shape[1]):
            out[i, d] = rows[i, d]


@compiled
def backward(counter, sgemm, tile, tasks, inputs, plan, slopes):
    """Takes ranges of keys from `counter` and fills their part of `slopes`."""
    heads, queries = slopes.lse.shape[1:]
    key_heads = inputs.key.shape[1]
    group = heads // key_heads
    parts = plan.key_ranges.size - 1
    values = tile.value.shape[1]
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        b, g, part = task // parts // key_heads, task // parts % key_heads, task % parts
        for j0 in range(plan.key_ranges[part], plan.key_ranges[part + 1], plan.columns):
            width = min(plan.columns, plan.key_ranges[part + 1] - j0)
            load(inputs.key[b, g], j0, width, tile.key)
            load(inputs.value[b, g], j0, width, tile.value)
            tile.key_slope[:] = 0
            tile.value_slope[:] = 0
            for h in range(g * group, (g + 1) * group):
                low, high = pick(inputs.low, b, h), pick(inputs.high, b, h)
                for i0 in range(0, queries, plan.rows):
                    rows = min(plan.rows, queries - i0)
                    begin, end = span(low, high, i0, rows)
                    if begin >= j0 + width or end <= j0:
                        continue
                    load(inputs.query[b, h], i0, rows, tile.query)
                    load(slopes.output[b, h], i0, rows, tile.out)
                    score_tile(sgemm, inputs, tile.query, tile.key, rows, width, tile.scores)
                    gemm_nt(sgemm, rows, width, values, inputs.survivor, tile.out,
                                        tile.value, 0.0, tile.flow)  # fmt: skip
                    differentiate_tile(tile, inputs, slopes, b, h, i0, rows, j0, width)
                    gemm_tn(sgemm, width, values, rows, inputs.survivor,
                                             tile.scores, tile.out, 1.0, tile.value_slope)  # fmt: skip
                    line = ((part * slopes.lse.shape[0] + b) * heads + h) * queries + i0
                    spread_scores(sgemm, tile, inputs, rows, width,
                                  slopes.query[line : line + rows], slopes.direction[task])  # fmt: skip
            line = (b * key_heads + g) * inputs.key.shape[2] + j0
            copy(tile.key_slope, width, slopes.key[line : line + width])
            copy(tile.value_slope, width, slopes.value[line : line + width])
