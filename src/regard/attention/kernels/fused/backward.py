"""Gradients of the one pass, tile by tile: weights are computed again from `lse`, dropout from its hash.

With `P` the weights, `M` the dropout mask over `1 - rate`, and `O = (P M) V` (Dao et al. 2022)::

    dV = (P M)^T dO
    dS = P (M (dO V^T) - D)            D = rowsum(dO O)
    dQ = scale dS K,   dK = scale dS^T Q

Gradients that reach a row's entropy `H` or `lse` enter as two numbers of the row, since
`dH/dS = -P (log P + H)` and `dlse/dS = P`::

    dS = P (M (dO V^T) + constant + slope log P)
    constant = -D - dH H + dlse,   slope = -dH

A sink of softmax is a logit without a key. It changes `lse`, which is given, and adds `p = exp(sink - lse)`,
the share of the sink, to what the entropy of the keys has to do with each of them
(`dH/dS = -P (log P + H + p)`, so `constant = -D - dH (H + p) + dlse`); its own gradient is
`p (constant - slope)`, summed over the rows. Both are made around the kernel, in `torch_ops`. A cap
`c tanh(s / c)` multiplies `dS` by `1 - tanh(s / c)^2`.

A task is a range of keys of one key head, whose `dK` and `dV` it owns; `dQ` it adds to its own copy, one
for each range, so nothing is added by two workers and the bits do not depend on which is faster.

In the code the gradient of a tile, `grad`, holds first `dO V^T` and then `dS`; other names are those of
`forward`.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.additive import additive_gradients
from regard.attention.kernels.fused.rowwise import load_rows, lowbias32, mask_outside
from regard.attention.kernels.fused.tile import (
    LN2,
    add_mask,
    cap_row_with_slope,
    head_of,
    key_range,
    rounded_lse,
    score_tile,
)
from regard.compiled.blas import gemm_nn, gemm_nt, gemm_tn
from regard.compiled.intrinsics import next_index, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import clamp_exponent, exp2

__all__ = ["backward"]

ZERO = np.float32(0)


@inlined
def softmax_backward(scores, grad, width, lse, correction, constant, slope):
    """Turns a row of scores into weights, and the gradient of the weights into that of the scores.

    Args:
        scores: in bits; become weights.
        grad: `dO V^T`; becomes `dS`.
        width: keys of the tile.
        lse: the row's log-sum-exp in bits, rounded to float32.
        correction: `2**(rounded lse - exact lse)`, which makes the rounding good.
        constant: of the row.
        slope: of the row, for logarithms in bits.
    """
    wide_vectors()
    for j in range(width):
        x = clamp_exponent(scores[j] - lse)
        p = correction * exp2(x)
        scores[j] = p
        grad[j] = p * (grad[j] + (constant + slope * x))


@inlined
def softmax_dropout_backward(
    scores, grad, width, lse, correction, constant, slope, row_key, column_keys, drop_below
):
    """`softmax_backward` where dropout zeroed some weights; scores become the weights that were kept."""
    wide_vectors()
    for j in range(width):
        x = clamp_exponent(scores[j] - lse)
        p = correction * exp2(x)
        kept = lowbias32(np.uint32(row_key ^ column_keys[j])) >= drop_below
        # Only the path through the output is cut: entropy and lse are those of the weights before dropout.
        scores[j] = p if kept else ZERO
        through_output = grad[j] if kept else ZERO
        grad[j] = p * (through_output + (constant + slope * x))


@inlined
def multiply(row, factors, width):
    """Multiplies the first `width` numbers of a row by factors."""
    wide_vectors()
    for j in range(width):
        row[j] *= factors[j]


@inlined
def softmax_backward_tile(work, inputs, gradients, b, h, i0, rows, j0, width):
    """`work.scores` become weights after dropout and `work.grad` becomes `dS`, row by row."""
    low, high = head_of(inputs.low, b, h), head_of(inputs.high, b, h)
    bias, allowed = head_of(inputs.bias, b, h), head_of(inputs.allowed, b, h)
    for r in range(rows):
        i = i0 + r
        scores, grad = work.scores[r], work.grad[r]
        lse = gradients.lse[b, h, i]
        if lse == -np.inf:  # sees nothing: no weights, no gradients
            scores[:] = 0
            grad[:] = 0
            continue
        cap_row_with_slope(scores, width, inputs.cap, work.cap_slope)
        add_mask(scores, bias, allowed, i, j0, width)
        mask_outside(scores, low[i] - j0, high[i] - j0, width)
        rounded, correction = rounded_lse(lse)
        constant = gradients.constant[b, h, i]
        slope = gradients.slope[b, h, i] * np.float32(LN2)  # multiplies logarithms in bits
        if inputs.drop_below:
            softmax_dropout_backward(
                scores, grad, width, rounded, correction, constant, slope,
                inputs.row_keys[b * gradients.lse.shape[1] + h, i],
                inputs.column_keys[j0 : j0 + width], inputs.drop_below,
            )  # fmt: skip
        else:
            softmax_backward(scores, grad, width, rounded, correction, constant, slope)
        if inputs.cap:
            multiply(grad, work.cap_slope, width)


@inlined
def score_backward_tile(sgemm, work, inputs, rows, width, query_grad, vector_grad):
    """Adds what `dS` contributes to the gradients of these queries, these keys and the vector."""
    if inputs.vector.size:
        additive_gradients(
            inputs.vector, work.query, work.key, work.grad, rows, width,
            query_grad, work.key_grad, vector_grad, work.vector_part,
        )  # fmt: skip
    else:
        features = work.query.shape[1]
        gemm_nn(sgemm, rows, features, width, inputs.scale, work.grad, work.key, 1.0, query_grad)
        gemm_tn(sgemm, width, features, rows, inputs.scale, work.grad, work.query, 1.0,
                work.key_grad)  # fmt: skip


@inlined
def copy_rows(rows, count, out):
    """Copies the first `count` rows to `out`."""
    for i in range(count):
        for d in range(out.shape[1]):
            out[i, d] = rows[i, d]


@compiled
def backward(counter, sgemm, work, tasks, inputs, plan, gradients):
    """Takes ranges of keys from `counter` and fills their part of `gradients`.

    Args:
        counter: shared by the workers; see `next_index`.
        sgemm: address of the matrix product.
        work: this worker's `BackwardWorkspace`.
        tasks: ranges of keys of all examples and key heads.
        inputs: `Inputs`.
        plan: `BackwardPlan`.
        gradients: `Gradients`.
    """
    heads, queries = gradients.lse.shape[1:]
    key_heads = inputs.key.shape[1]
    group = heads // key_heads
    ranges = plan.key_ranges.size - 1
    values = work.value.shape[1]
    while True:
        task = next_index(counter)
        if task >= tasks:
            break
        b, g, n = task // ranges // key_heads, task // ranges % key_heads, task % ranges
        # Keys outside, queries inside: dK and dV of a tile are complete when it is left, and written once.
        for j0 in range(plan.key_ranges[n], plan.key_ranges[n + 1], plan.columns):
            width = min(plan.columns, plan.key_ranges[n + 1] - j0)
            load_rows(inputs.key[b, g], j0, width, work.key)
            load_rows(inputs.value[b, g], j0, width, work.value)
            work.key_grad[:] = 0
            work.value_grad[:] = 0
            # All query heads that share this key head add to its gradients.
            for h in range(g * group, (g + 1) * group):
                low, high = head_of(inputs.low, b, h), head_of(inputs.high, b, h)
                for i0 in range(0, queries, plan.rows):
                    rows = min(plan.rows, queries - i0)
                    begin, end = key_range(low, high, i0, rows)
                    if begin >= j0 + width or end <= j0:  # sees none of these keys
                        continue
                    load_rows(inputs.query[b, h], i0, rows, work.query)
                    load_rows(gradients.output[b, h], i0, rows, work.out_grad)
                    score_tile(sgemm, inputs, work.query, work.key, rows, width, work.scores)
                    # dO V^T, of which dropout's factor is a part; so it is in dV below.
                    gemm_nt(sgemm, rows, width, values, inputs.keep_scale, work.out_grad,
                            work.value, 0.0, work.grad)  # fmt: skip
                    softmax_backward_tile(work, inputs, gradients, b, h, i0, rows, j0, width)
                    gemm_tn(sgemm, width, values, rows, inputs.keep_scale, work.scores,
                            work.out_grad, 1.0, work.value_grad)  # fmt: skip
                    line = ((n * gradients.lse.shape[0] + b) * heads + h) * queries + i0
                    score_backward_tile(sgemm, work, inputs, rows, width,
                                        gradients.query[line : line + rows],
                                        gradients.vector[task])  # fmt: skip
            line = (b * key_heads + g) * inputs.key.shape[2] + j0
            copy_rows(work.key_grad, width, gradients.key[line : line + width])
            copy_rows(work.value_grad, width, gradients.value[line : line + width])
