"""Steps on one tile of the matrix that the forward and the backward pass share."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.additive import additive_scores
from regard.compiled.blas import gemm_nt
from regard.compiled.jit import inlined, inlined_ir
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2

__all__ = ["LARGEST", "LN2", "adjust", "find", "pick", "score_tile", "span", "weight"]

LN2 = float(np.log(2.0))
LARGEST = np.float32(2**27)
"""What a score of +inf becomes: more than any other, yet the log of a sum can still be added to it."""


@inlined_ir
def pick(array, b, h):
    """The (batch, head) part of an array whose leading axes may be 1."""
    return array[b if array.shape[0] > 1 else 0, h if array.shape[1] > 1 else 0]


@inlined
def span(low, high, first, count):
    """The range of keys that any of these queries sees."""
    begin, end = low[first], high[first]
    for i in range(first + 1, first + count):
        if low[i] < high[i]:
            if begin >= end:
                begin, end = low[i], high[i]
            begin, end = min(begin, low[i]), max(end, high[i])
    return begin, end


@inlined
def find(edges, place):
    """The last chunk that begins at or before `place`."""
    below, above = 0, edges.size - 1
    while above - below > 1:
        middle = (below + above) // 2
        if edges[middle] <= place:
            below = middle
        else:
            above = middle
    return below


@inlined
def adjust(scores, bias, allowed, i, j0, width):
    """Adds a row of the bias, and -inf where a Boolean mask forbids.

    As in the slow twin, a bias of +inf is a large number, so that it takes all the weight.
    """
    if bias.size:
        line = bias[i if bias.shape[0] > 1 else 0]
        step = 1 if line.size > 1 else 0
        for j in range(width):
            score = scores[j] + line[(j0 + j) * step] * np.float32(1 / LN2)
            scores[j] = LARGEST if score > LARGEST else score
    if allowed.size:
        may = allowed[i if allowed.shape[0] > 1 else 0]
        step = 1 if may.size > 1 else 0
        for j in range(width):
            if not may[(j0 + j) * step]:
                scores[j] = NEGATIVE_INFINITY


@inlined
def score_tile(sgemm, inputs, query, key, rows, width, scores):
    """`scores[:rows, :width]` in bits."""
    if inputs.direction.size:
        additive_scores(inputs.direction, query, key, rows, width, scores)
    else:
        scale = inputs.scale / LN2
        gemm_nt(sgemm, rows, width, query.shape[1], scale, query, key, 0.0, scores)


@inlined
def weight(score, most):
    """`2**(score - most)`."""
    return exp2(clamp_exponent(score - most))
