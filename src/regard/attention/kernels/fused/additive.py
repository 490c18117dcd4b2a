"""Additive scores `v . tanh(q + k)` (Bahdanau et al. 2015) of a tile, and their gradient.

No (queries, keys, features) tensor exists: each score is summed while its tanh are computed, and the
backward pass computes them again.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import wide_vectors
from regard.compiled.jit import inlined
from regard.compiled.math import tanh

__all__ = ["additive_gradients", "additive_scores"]

ONE = np.float32(1)


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
