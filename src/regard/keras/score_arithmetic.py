"""Score functions of `regard.scores` over `keras.ops`, for backends whose arrays they do not take.

The objects say what is computed and hold the parameters; here is the arithmetic, one short function each.
"""

from __future__ import annotations

import math
from typing import Any

from regard.attention import scores
from regard.attention.scores import Score
from regard.errors import InputError
from regard.keras import backend
from regard.keras.backend import ops

__all__ = ["pairwise"]


def pairwise(score: Score, query: Any, key: Any) -> Any:
    """Scores of all pairs, `(..., queries, keys)`.

    Args:
        score: one of `regard.scores`; one of your own on the torch and JAX backends.
        query: `(batch, ..., queries, features)`.
        key: `(batch, ..., keys, features)`, with the heads of the query.

    Raises:
        InputError: a score of one's own on TensorFlow.
    """
    match score:
        case scores.Dot():
            return _dot(query, key)
        case scores.ScaledDot():
            return _dot(_scaled(score.scale, query), key)
        case scores.General():
            return _dot(ops.matmul(query, _as(score.weight, query)), key)
        case scores.Cosine():
            return _dot(_unit(query) * _as(score.temperature, query), _unit(key))
        case scores.Location():
            return _dot(query, _as(score.weight, query)[: key.shape[-2]])
        case scores.Additive():
            weights = (score.query_weight, score.key_weight)
            query, key = (_product(x, w) for x, w in zip((query, key), weights, strict=True))
            return _additive(query, key, score.vector)
        case scores.Concat():
            width = query.shape[-1]
            weight = _as(score.weight, query)
            halves = _product(query, weight[:width]), _product(key, weight[width:])
            return _additive(*halves, score.vector)
        case scores.Capped():
            return score.cap * ops.tanh(pairwise(score.score, query, key) / score.cap)
    return _of_ones_own(score, query, key)


def _dot(query: Any, key: Any) -> Any:
    return ops.matmul(query, ops.swapaxes(key, -2, -1))


def _scaled(scale: Any, query: Any) -> Any:
    if scale is None:
        return query / math.sqrt(max(1, query.shape[-1]))
    scale = _as(scale, query)
    if len(scale.shape) == 1 and len(query.shape) == 4:  # one for each head
        scale = ops.reshape(scale, (-1, 1, 1))
    return query * scale


def _additive(query: Any, key: Any, vector: Any) -> Any:
    both = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
    return ops.sum(ops.tanh(both) * _as(vector, query), axis=-1)


def _product(x: Any, weight: Any) -> Any:
    return x if weight is None else ops.matmul(x, _as(weight, x))


def _unit(x: Any) -> Any:
    """`x / |x|`, and zero with a zero gradient where `x` is zero."""
    square = ops.sum(x * x, axis=-1, keepdims=True)
    zero = ops.equal(square, 0.0)
    return ops.where(zero, 0.0, x / ops.sqrt(ops.where(zero, 1.0, square)))


def _as(parameter: Any, like: Any) -> Any:
    return ops.cast(ops.convert_to_tensor(parameter), like.dtype)


def _of_ones_own(score: Score, query: Any, key: Any) -> Any:
    if backend.name() == "tensorflow":
        raise InputError(
            f"{type(score).__name__} computes with torch or JAX arrays and the backend is TensorFlow; set "
            "KERAS_BACKEND to torch or jax, or take a score of regard.scores"
        )
    leading = query.shape[:-2]
    query, key = (x[:, None] if len(x.shape) == 3 else x for x in (query, key))
    found = score.pairwise(*score.project(query, key))
    return ops.reshape(found, (*leading, *found.shape[-2:]))
