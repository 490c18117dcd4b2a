"""Worked examples: the six steps of attention for a small input, every number shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.normalizers import Softmax
from regard.errors import ShapeError
from regard.shapes import Float
from regard.tables import format_number, format_vector, number_table

__all__ = ["Worked", "worked"]

Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Worked:
    """Intermediate results of scaled dot-product attention; `print` shows all six steps.

    Attributes:
        query: Q, `(queries, features)`; with key and value, step 1.
        key: K, `(keys, features)`.
        value: V, `(keys, values)`.
        scores: Q K^T, `(queries, keys)`; step 2.
        scaled: the scores times the scale, `(queries, keys)`; step 3.
        weights: softmax of each row, `(queries, keys)`; step 4.
        weighted: each value times its weight, `(queries, keys, values)`; step 5.
        output: their sum, `(queries, values)`; step 6.
        scale: factor of the scores.
        query_labels: a name for each query.
        key_labels: a name for each key.
    """

    query: Float[Matrix, "queries features"]
    key: Float[Matrix, "keys features"]
    value: Float[Matrix, "keys values"]
    scores: Float[Matrix, "queries keys"]
    scaled: Float[Matrix, "queries keys"]
    weights: Float[Matrix, "queries keys"]
    weighted: Float[Matrix, "queries keys values"]
    output: Float[Matrix, "queries values"]
    scale: float
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]

    def __str__(self) -> str:
        return "\n\n".join(_steps(self))


def worked(
    query: Any,
    key: Any,
    value: Any,
    *,
    query_weight: Any = None,
    key_weight: Any = None,
    value_weight: Any = None,
    scale: float | None = None,
    tokens: Sequence[str] | None = None,
    key_tokens: Sequence[str] | None = None,
    show: bool = True,
) -> Worked:
    """Attention in six steps (Vaswani et al. 2017), every intermediate result with its numbers.

    1. make Q, K, V; 2. score; 3. divide by sqrt(d_k); 4. softmax; 5. weight the values; 6. sum.
    Everything is computed in float64.

    Args:
        query: `(queries, features)` or one vector, numbers of any kind.
        key: `(keys, features)`.
        value: `(keys, values)`.
        query_weight: `W_Q`, with Q = query @ W_Q; Q is the query itself unless given.
        key_weight: `W_K`, with K = key @ W_K; K is the key itself unless given.
        value_weight: `W_V`, with V = value @ W_V; V is the value itself unless given.
        scale: factor of the scores; `1 / sqrt(d_k)` unless given.
        tokens: a name for each query, and for each key if there are as many keys as queries.
        key_tokens: a name for each key.
        show: print the steps.

    Returns:
        All intermediate results.

    Raises:
        ShapeError: arrays or names that do not fit.

    >>> import regard
    >>> key, value = [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]
    >>> steps = regard.worked([1, 0, 1], key, value, scale=1.0, show=False)
    >>> steps.scores.tolist()
    [[1.0, 0.0, 2.0]]
    """
    Q, K, V = (
        _project(x, weight, name)
        for x, weight, name in (
            (query, query_weight, "query"),
            (key, key_weight, "key"),
            (value, value_weight, "value"),
        )
    )
    if Q.shape[1] != K.shape[1]:
        raise ShapeError(f"query has {Q.shape[1]} features, key has {K.shape[1]}; expected as many")
    if len(K) != len(V):
        raise ShapeError(
            f"key has {len(K)} positions, value has {len(V)}; each key needs its value"
        )
    if tokens is not None and key_tokens is None and len(tokens) == len(K):
        key_tokens = tokens
    scale = 1 / math.sqrt(K.shape[1]) if scale is None else scale
    scores = Q @ K.T
    weights = Softmax()(scores * scale)
    weighted = weights[:, :, None] * V
    steps = Worked(
        query=Q,
        key=K,
        value=V,
        scores=scores,
        scaled=scores * scale,
        weights=weights,
        weighted=weighted,
        output=weighted.sum(1),
        scale=scale,
        query_labels=_labels(tokens, len(Q), "query"),
        key_labels=_labels(key_tokens, len(K), "key"),
    )
    if show:
        print(steps)
    return steps


def _project(x: Any, weight: Any, name: str) -> Matrix:
    x = np.atleast_2d(to_numpy(x)).astype(np.float64)
    if x.ndim != 2:
        raise ShapeError(f"{name} has shape {x.shape}; expected one sequence, (length, features)")
    if weight is None:
        return np.asarray(x, np.float64)
    weight = to_numpy(weight).astype(np.float64)
    if weight.ndim != 2 or len(weight) != x.shape[1]:
        raise ShapeError(
            f"{name}_weight has shape {weight.shape}; expected ({x.shape[1]}, ...) to meet {name}"
        )
    return np.asarray(x @ weight, np.float64)


def _labels(names: Sequence[str] | None, count: int, side: str) -> tuple[str, ...]:
    if names is None:
        return tuple(f"{side[0]}{i + 1}" for i in range(count))
    if len(names) != count:
        raise ShapeError(f"{len(names)} tokens for {count} positions of the {side}")
    return tuple(names)


def _steps(worked: Worked) -> list[str]:
    """One paragraph for each step: its matrix, then the numbers word by word."""
    queries, keys, features = worked.query_labels, worked.key_labels, worked.key.shape[1]
    by_root = math.isclose(worked.scale, features**-0.5)
    scaling = f"divide by sqrt({features})" if by_root else f"multiply by {worked.scale:g}"
    steps = [
        "1. Make Q, K, V\n"
        + number_table(worked.query, queries, title="Q")
        + number_table(worked.key, keys, title="K")
        + number_table(worked.value, keys, title="V"),
        "2. Score: Q K^T\n" + number_table(worked.scores, queries, keys) + _dot_products(worked),
        f"3. Scale: {scaling}\n" + number_table(worked.scaled, queries, keys),
        "4. Softmax of each row\n" + number_table(worked.weights, queries, keys),
        "5. Weight the values\n" + _weighted_values(worked),
        "6. Sum: the output, weights V\n" + number_table(worked.output, queries),
    ]
    return [step.rstrip("\n") for step in steps]


def _dot_products(worked: Worked) -> str:
    lines = []
    for q, query in zip(worked.query, worked.query_labels, strict=True):
        for k, key in zip(worked.key, worked.key_labels, strict=True):
            products = zip(q, k, strict=True)
            terms = " + ".join(f"{format_number(a)} x {format_number(b)}" for a, b in products)
            lines.append(f"  {query} . {key} = {terms} = {format_number(float(q @ k))}\n")
    return "".join(lines)


def _weighted_values(worked: Worked) -> str:
    lines = []
    for i, query in enumerate(worked.query_labels):
        for j, key in enumerate(worked.key_labels):
            value, product = format_vector(worked.value[j]), format_vector(worked.weighted[i, j])
            lines.append(f"  {query} <- {key}: {worked.weights[i, j]:.4f} x {value} = {product}\n")
        lines.append(f"  {query} sum: {format_vector(worked.output[i])}\n")
    return "".join(lines)
