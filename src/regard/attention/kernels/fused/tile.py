"""Steps on one tile of the matrix that the forward and the backward pass share."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.additive import additive_scores
from regard.compiled.blas import gemm_nt
from regard.compiled.intrinsics import wide_vectors
from regard.compiled.jit import inlined, inlined_ir
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2, tanh
from regard.compiled.simd import MASK_LANES

__all__ = [
    "INFINITE_SCORE",
    "LN2",
    "LOWEST_BIAS",
    "add_mask",
    "cap_row",
    "cap_row_with_slope",
    "find_segment",
    "head_of",
    "key_range",
    "rounded_lse",
    "score_tile",
    "weight",
]

LN2 = float(np.log(2.0))

INFINITE_SCORE = np.float32(2**27)
"""The score of a bias of +inf: more than any other, yet the log of a sum can still be added to it."""

LOWEST_BIAS = np.float32(-(2**36))
"""What masks of -1e30 or `finfo.min` are raised to: in bits they would be -inf, and a float64 near them has no
room for the logarithm of a row's sum."""


@inlined_ir
def head_of(array, b, h):
    """The part of one example and head of an array whose first two axes may be broadcast from 1."""
    return array[b if array.shape[0] > 1 else 0, h if array.shape[1] > 1 else 0]


@inlined
def key_range(low, high, first, count):
    """The smallest range of keys that holds those of all these queries; empty where no query sees any."""
    begin, end = low[first], high[first]
    for i in range(first + 1, first + count):
        # Queries that see nothing (low >= high) have arbitrary ends and must not widen the range.
        if low[i] < high[i]:
            if begin >= end:
                begin, end = low[i], high[i]
            begin, end = min(begin, low[i]), max(end, high[i])
    return begin, end


@inlined
def find_segment(edges, position):
    """The number of the segment that holds a position, by bisection; the last begins at or before it."""
    below, above = 0, edges.size - 1
    while above - below > 1:
        middle = (below + above) // 2
        if edges[middle] <= position:
            below = middle
        else:
            above = middle
    return below


@inlined
def cap_row(scores, width, cap):
    """Bounds a row of scores in bits by `cap`, a natural one, if it is not 0; before bias and mask.

    The padding beyond `width` is capped as well, up to a multiple of `MASK_LANES`: the loop needs no
    remainder.
    """
    if cap:
        wide_vectors()
        inward, outward = np.float32(LN2 / cap), np.float32(cap / LN2)
        for j in range((width + MASK_LANES - 1) // MASK_LANES * MASK_LANES):
            scores[j] = outward * tanh(scores[j] * inward)


@inlined
def cap_row_with_slope(scores, width, cap, slope):
    """`cap_row`, which writes the derivative at each score, `1 - tanh(s / cap)**2`, to `slope`."""
    if cap:
        wide_vectors()
        inward, outward = np.float32(LN2 / cap), np.float32(cap / LN2)
        for j in range((width + MASK_LANES - 1) // MASK_LANES * MASK_LANES):
            t = tanh(scores[j] * inward)
            scores[j] = outward * t
            slope[j] = np.float32(1) - t * t


@inlined
def add_mask(scores, bias, allowed, i, j0, width):
    """Adds a row of the bias to a row of scores, and sets what a Boolean mask forbids to -inf.

    Args:
        scores: a row of the tile, in bits.
        bias: (queries or 1, keys or 1), or empty.
        allowed: (queries or 1, keys or 1), or empty.
        i: the query.
        j0: the first key of the tile.
        width: keys of the tile.
    """
    if bias.size:
        line = bias[i if bias.shape[0] > 1 else 0]
        step = 1 if line.size > 1 else 0  # 0 reads one element again and again
        for j in range(width):
            added = line[(j0 + j) * step]
            # Two plain choices, as loops with `and` do not vectorise.
            raised = LOWEST_BIAS if added < LOWEST_BIAS else added
            added = raised if added != NEGATIVE_INFINITY else added
            score = scores[j] + added * np.float32(1 / LN2)
            # +inf would make inf - inf. As in the slow twin it is a large number that takes all the weight.
            scores[j] = INFINITE_SCORE if score > INFINITE_SCORE else score
    if allowed.size:
        may = allowed[i if allowed.shape[0] > 1 else 0]
        step = 1 if may.size > 1 else 0
        for j in range(width):
            if not may[(j0 + j) * step]:
                scores[j] = NEGATIVE_INFINITY


@inlined
def score_tile(sgemm, inputs, query, key, rows, width, scores):
    """Scores of a tile, `scores[:rows, :width]`, in bits: natural ones times log2 e."""
    if inputs.vector.size:
        additive_scores(inputs.vector, query, key, rows, width, scores)
    else:
        scale = inputs.scale / LN2
        gemm_nt(sgemm, rows, width, query.shape[1], scale, query, key, 0.0, scores)


@inlined
def rounded_lse(lse):
    """A row's log-sum-exp in bits as float32, and the factor of its weights that makes the rounding good.

    A float32 lse alone would be off by as much as the sum may be.
    """
    exact = lse / LN2
    rounded = np.float32(exact)
    # Near 2**53 float64 has no room for the sum either, and the difference is noise.
    lost = rounded - exact if abs(exact) < 2.0**48 else 0.0
    return rounded, np.float32(2.0**lost)


@inlined
def weight(score, reference):
    """`2**(score - reference)`."""
    return exp2(clamp_exponent(score - reference))
