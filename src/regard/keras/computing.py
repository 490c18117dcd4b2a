"""Attention on any backend of Keras: the fast path of the backend, and its slow twin over `keras.ops`.

On torch and JAX, `attention` is `regard.attend`: the same kernels, and a map that costs nothing until it is
asked. TensorFlow has no such path; there, and for dropout inside a function that JAX compiles, the numbers
come from `attention_by_ops`, which says in a dozen lines of `keras.ops` what the result is. Tests hold the
two equal on every backend.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras

from regard.attention import AttentionMap, attend
from regard.attention.scores import Score
from regard.errors import InputError
from regard.keras import backend
from regard.keras.allowed import Allowed
from regard.keras.backend import ops
from regard.keras.score_arithmetic import pairwise

__all__ = ["Attended", "attention", "attention_by_ops", "map_of", "masked_softmax"]


class Attended(NamedTuple):
    """Result of one attention.

    Attributes:
        output: `(..., queries, values)`.
        weights: before dropout, an array `(batch, ..., queries, keys)` or the map of it.
        leading: sizes of the axes that `batch` stands for, where they are several.
    """

    output: Any
    weights: Any
    leading: tuple[Any, ...] = ()

    def scores(self, dtype: str) -> Any:
        """The weights as a tensor: what Keras calls attention scores."""
        weights = self.weights
        dense = weights.dense() if isinstance(weights, AttentionMap) else weights
        if self.leading:
            dense = ops.reshape(dense, (*self.leading, *ops.shape(dense)[-2:]))
        return ops.cast(dense, dtype)

    def map(self) -> AttentionMap:
        """The map of the weights.

        Raises:
            InputError: inside a compiled function, which cannot return one.
        """
        if isinstance(self.weights, AttentionMap):
            return self.weights
        return map_of(self.weights)


def map_of(weights: Any) -> AttentionMap:
    """The map of weights that exist; on TensorFlow their NumPy copy, without gradients.

    Raises:
        InputError: inside a compiled function of TensorFlow.
    """
    if backend.name() == "tensorflow":
        if not backend.eager(weights):
            raise InputError(
                "return_attention_map=True inside a compiled TensorFlow function, where weights hold no "
                "numbers yet; ask return_attention_scores=True there, or call the layer eagerly"
            )
        weights = backend.numpy_of(weights)
    return AttentionMap.from_dense(weights)


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: Score,
    allowed: Allowed,
    bias: Any = None,
    dropout: float = 0.0,
    seeds: Any = None,
) -> Attended:
    """Attention by the fastest path of the backend.

    Args:
        query: `(batch, queries, features)` or `(batch, heads, queries, features)`.
        key: `(batch, keys, features)`; with heads, a divisor of the query's.
        value: `(batch, keys, values)`; with heads, as many as the key's.
        score: how well each key matches each query.
        allowed: which pairs may attend.
        bias: added to the scores; a tensor that broadcasts to the weights.
        dropout: probability that a weight is left out of the average; 0 outside of training.
        seeds: a `keras.random.SeedGenerator`, for dropout.
    """
    if backend.name() == "tensorflow" or (dropout and not _draws_numbers(query)):
        return attention_by_ops(
            query, key, value, score=score, allowed=allowed, bias=bias, dropout=dropout, seeds=seeds
        )
    seed = _next_seed(seeds) if dropout else 0
    mask = allowed.as_mask(query.shape[-2], key.shape[-2])
    output, weights = attend(
        query, key, value, score=score, mask=mask, bias=bias, dropout=dropout, seed=seed
    )
    return Attended(output, weights)


def attention_by_ops(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: Score,
    allowed: Allowed,
    bias: Any = None,
    dropout: float = 0.0,
    seeds: Any = None,
) -> Attended:
    """The slow twin of `attention` over `keras.ops`, with its arguments, for every backend.

    It computes in float32, or in float64 if an input has that type. Masked pairs get a weight of exactly 0,
    a row without any allowed pair is all zeros, and NaN at a masked place reaches neither the output nor a
    gradient.
    """
    dtype = value.dtype
    wide = "float64" if "float64" in map(_name, (query, key, value)) else "float32"
    query, key, value = (ops.cast(x, wide) for x in (query, key, value))
    shape = (*ops.shape(query)[:-1], ops.shape(key)[-2])
    pairs = allowed.as_array(shape)
    bad: Any = None
    if pairs is not None or bias is not None:
        bad = [ops.logical_not(ops.all(ops.isfinite(x), -1)) for x in (query, key, value)]
        query, key, value = (
            ops.where(ops.expand_dims(marks, -1), 0.0, x)
            for marks, x in zip(bad, (query, key, value), strict=True)
        )
    groups = query.shape[1] // key.shape[1] if len(query.shape) == 4 else 1
    if groups > 1:
        key, value = (ops.repeat(x, groups, axis=1) for x in (key, value))
        bad = bad and [bad[0], *(ops.repeat(x, groups, axis=1) for x in bad[1:])]
    scores = pairwise(score, query, key)
    if bias is not None:
        scores = scores + ops.cast(bias, wide)
    if bad is not None:
        nan = ops.logical_or(ops.expand_dims(bad[0], -1), ops.expand_dims(bad[1], -2))
        scores = ops.where(nan, math.nan, scores)
    weights = masked_softmax(scores, pairs)
    kept = keras.random.dropout(weights, dropout, seed=seeds) if dropout else weights
    output = ops.matmul(kept, value)
    if bad is not None:
        reached = ops.expand_dims(bad[2], -2)
        reached = reached if pairs is None else ops.logical_and(pairs, reached)
        output = ops.where(ops.any(reached, -1, keepdims=True), math.nan, output)
    return Attended(ops.cast(output, dtype), weights)


def masked_softmax(scores: Any, pairs: Any) -> Any:
    """Softmax over the last axis among the allowed pairs; zeros for a row without any."""
    if pairs is None:
        pairs = ops.logical_not(ops.equal(scores, -math.inf))  # a bias of -inf masks
    largest = ops.max(ops.where(pairs, scores, -math.inf), axis=-1, keepdims=True)
    largest = ops.stop_gradient(ops.where(ops.equal(largest, -math.inf), 0.0, largest))
    # Masked scores are taken out before `exp`, whose overflow would make their gradient NaN.
    shifted = ops.where(pairs, scores - largest, 0.0)
    exponentials = ops.where(pairs, ops.exp(shifted), 0.0)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    return exponentials / ops.where(ops.equal(total, 0.0), 1.0, total)


def _name(tensor: Any) -> str:
    return str(keras.backend.standardize_dtype(tensor.dtype))


def _draws_numbers(tensor: Any) -> bool:
    """Whether the seed of a dropout is a number now, as `attend` needs it."""
    return backend.name() == "torch" and backend.eager(tensor)


def _next_seed(seeds: Any) -> int:
    """One integer of the next state of a seed generator."""
    low, high = (int(x) for x in backend.numpy_of(seeds.next()))
    return (low ^ high << 32) & (2**63 - 1)
