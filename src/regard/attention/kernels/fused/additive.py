"""Additive scores `v . tanh(q + k)` (Bahdanau et al. 2015) of a tile, and their gradient.

No (queries, keys, features) tensor exists: each score is summed while its tanh are computed, and the
backward pass computes them again.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import wide_vectors
from regard.compiled.jit import inlined

__all__ = ["additive_gradients", "additive_scores", "tanh"]

ONE = np.float32(1)

TANH_SATURATION = np.float32(7.90531110763549805)
"""Smallest argument at which tanh is 1 in float32."""

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
    # Negated comparisons, which are true for a NaN.
    x = x if not (x > TANH_SATURATION) else TANH_SATURATION
    x = x if not (x < -TANH_SATURATION) else -TANH_SATURATION
    y = x * x
    a = A0 + y * (A1 + y * (A2 + y * (A3 + y * (A4 + y * (A5 + y * A6)))))
    b = B0 + y * (B1 + y * (B2 + y * B3))
    return x * a / b


@inlined
def additive_scores(vector, query, key, rows, width, scores):
    """`scores[:rows, :width] = tanh(query + key) . vector`, in bits."""
    wide_vectors()
    log2e = np.float32(1 / np.log(2.0))
    for r in range(rows):
        q = query[r]
        for j in range(width):
            k = key[j]
            total = np.float32(0)
            for d in range(q.size):
                total += vector[d] * tanh(q[d] + k[d])
            scores[r, j] = total * log2e


@inlined
def additive_gradients(
    vector, query, key, grad, rows, width, query_grad, key_grad, vector_grad, vector_part
):
    """Adds the gradients of `vector . tanh(query + key)`, given `grad`, those of the scores.

    With `t = tanh(q + k)`: `dv = g t` and `dq = dk = g v (1 - t^2)`, summed over the pairs.

    Args:
        vector: (features,).
        query: (rows, features).
        key: (width, features).
        grad: (rows, width).
        rows: queries of the tile.
        width: keys of the tile.
        query_grad: added to.
        key_grad: added to.
        vector_grad: float64, added to.
        vector_part: memory for what one query adds to it, in float32; only the sum over queries is long.
    """
    wide_vectors()
    for r in range(rows):
        q, of_query = query[r], query_grad[r]
        vector_part[:] = 0
        for j in range(width):
            k, of_key, g = key[j], key_grad[j], grad[r, j]
            if g != 0:  # masked pairs cost no tanh
                for d in range(q.size):
                    t = tanh(q[d] + k[d])
                    vector_part[d] += g * t
                    through = g * vector[d] * (ONE - t * t)
                    of_query[d] += through
                    of_key[d] += through
        for d in range(q.size):
            vector_grad[d] += vector_part[d]
