"""Additive scores `v . tanh(q + k)` (Bahdanau 2015) in tiles, and their gradient.

No (queries, keys, dim) tensor: a score is summed as soon as its tanh are there, and the backward pass
computes them again.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import wide_vectors
from regard.compiled.jit import inlined

__all__ = ["additive_gradients", "additive_scores", "tanh"]

ONE = np.float32(1)
LARGEST = np.float32(7.90531110763549805)
"""Where tanh is 1 in float32."""

# tanh x = x A(x^2) / B(x^2): the rational approximation of Eigen and XLA, within a few units in the last place.
A0, A1, A2 = (
    np.float32(4.89352455891786e-03),
    np.float32(6.37261928875436e-04),
    np.float32(1.48572235717979e-05),
)
A3, A4, A5 = (
    np.float32(5.12229709037114e-08),
    np.float32(-8.60467152213735e-11),
    np.float32(2.00018790482477e-13),
)
A6 = np.float32(-2.76076847742355e-16)
B0, B1, B2 = (
    np.float32(4.89352518554385e-03),
    np.float32(2.26843463243900e-03),
    np.float32(1.18534705686654e-04),
)
B3 = np.float32(1.19825839466702e-06)


@inlined
def tanh(x):
    """`tanh(x)`, without a branch, so that loops over it vectorise; a NaN stays."""
    x = x if not (x > LARGEST) else LARGEST
    x = x if not (x < -LARGEST) else -LARGEST
    y = x * x
    a = A0 + y * (A1 + y * (A2 + y * (A3 + y * (A4 + y * (A5 + y * A6)))))
    b = B0 + y * (B1 + y * (B2 + y * B3))
    return x * a / b


@inlined
def additive_scores(direction, query, key, rows, width, scores):
    """`scores[:rows, :width] = tanh(query + key) . direction`, in bits."""
    wide_vectors()
    log2e = np.float32(1 / np.log(2.0))
    for r in range(rows):
        q = query[r]
        for j in range(width):
            k = key[j]
            total = np.float32(0)
            for d in range(q.size):
                total += direction[d] * tanh(q[d] + k[d])
            scores[r, j] = total * log2e


@inlined
def additive_gradients(
    direction, query, key, flow, rows, width, query_slope, key_slope, direction_slope, part
):
    """Adds the gradients of `direction . tanh(query + key)`, given `flow`, those of the scores.

    `part` holds what one query adds to the direction's, in float32; the sum is float64.
    """
    wide_vectors()
    for r in range(rows):
        q, out = query[r], query_slope[r]
        part[:] = 0
        for j in range(width):
            k, down, f = key[j], key_slope[j], flow[r, j]
            if f != 0:
                for d in range(q.size):
                    t = tanh(q[d] + k[d])
                    part[d] += f * t
                    through = f * direction[d] * (ONE - t * t)
                    out[d] += through
                    down[d] += through
        for d in range(q.size):
            direction_slope[d] += part[d]
