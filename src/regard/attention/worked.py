"""Attention on paper: the six steps for a small input, every number shown.

>>> steps = regard.worked(query=[1, 0, 1], key=[[1, 0, 0], [0, 1, 0], [1, 0, 1]],
...                       value=[[1, 2], [3, 4], [5, 6]], scale=1.0)
"""

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

__all__ = ["Worked", "worked"]

Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Worked:
    """The intermediates of scaled dot-product attention; printing it shows all six steps.

    Attributes:
        query: Q, `(queries, features)`; with key and value, step 1.
        key: K, `(keys, features)`.
        value: V, `(keys, values)`.
        scores: Q K^T, `(queries, keys)`; step 2.
        scaled: the scores times the scale; step 3.
        weights: softmax of each row; step 4.
        weighted: each value times its weight, `(queries, keys, values)`; step 5.
        output: their sum, `(queries, values)`; step 6.
        scale: what scores are multiplied by.
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
        return "\n\n".join(_pages(self))


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
    """Attention in six steps (Vaswani et al. 2017), every intermediate with its numbers.

    1. make Q, K, V; 2. score; 3. divide by sqrt(d_k); 4. softmax; 5. weight the values; 6. sum.

    Args:
        query: `(queries, features)` or one vector, numbers of any kind.
        key: `(keys, features)`.
        value: `(keys, values)`.
        query_weight: `W_Q`, so that Q = query @ W_Q; the query itself is Q when not given.
        key_weight: `W_K`, likewise.
        value_weight: `W_V`, likewise.
        scale: of the scores; `1 / sqrt(d_k)` when not given.
        tokens: a name for each query; also for each key, where there are as many.
        key_tokens: a name for each key.
        show: print the steps.

    Raises:
        ShapeError: arrays or labels that do not go together.
    """
    Q, K, V = (
        _make(x, w, name)
        for x, w, name in (
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
        Q,
        K,
        V,
        scores,
        scores * scale,
        weights,
        weighted,
        weighted.sum(1),
        scale,
        _labels(tokens, len(Q), "query"),
        _labels(key_tokens, len(K), "key"),
    )
    if show:
        print(steps)
    return steps


def _make(x: Any, weight: Any, name: str) -> Matrix:
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


def _pages(w: Worked) -> list[str]:
    """One paragraph a step: the matrix form, then word by word."""
    d = w.key.shape[1]
    divide = (
        f"divide by sqrt({d})" if math.isclose(w.scale, d**-0.5) else f"multiply by {w.scale:g}"
    )
    pages = [
        "1. Make Q, K, V\n"
        + _table("Q", w.query, w.query_labels)
        + _table("K", w.key, w.key_labels)
        + _table("V", w.value, w.key_labels),
        "2. Score: Q K^T\n" + _table("", w.scores, w.query_labels, w.key_labels) + _dots(w),
        f"3. Scale: {divide}\n" + _table("", w.scaled, w.query_labels, w.key_labels),
        "4. Softmax of each row\n" + _table("", w.weights, w.query_labels, w.key_labels),
        "5. Weight the values\n" + _weighted(w),
        "6. Sum: the output, weights V\n" + _table("", w.output, w.query_labels),
    ]
    return [page.rstrip("\n") for page in pages]


def _dots(w: Worked) -> str:
    lines = []
    for q, name in zip(w.query, w.query_labels, strict=True):
        for k, other in zip(w.key, w.key_labels, strict=True):
            terms = " + ".join(f"{_number(a)} x {_number(b)}" for a, b in zip(q, k, strict=True))
            lines.append(f"  {name} . {other} = {terms} = {_number(float(q @ k))}\n")
    return "".join(lines)


def _weighted(w: Worked) -> str:
    lines = []
    for i, name in enumerate(w.query_labels):
        for j, other in enumerate(w.key_labels):
            value, product = _vector(w.value[j]), _vector(w.weighted[i, j])
            lines.append(f"  {name} <- {other}: {w.weights[i, j]:.4f} x {value} = {product}\n")
        lines.append(f"  {name} sum: {_vector(w.output[i])}\n")
    return "".join(lines)


def _table(
    title: str, matrix: Matrix, rows: tuple[str, ...], columns: tuple[str, ...] | None = None
) -> str:
    """Rows of numbers under their names, columns aligned."""
    cells = [[_number(x) for x in row] for row in matrix]
    heads = [list(columns)] if columns else []
    widths = [max(map(len, column)) for column in zip(*heads, *cells, strict=True)]
    side = max(map(len, rows))
    lines = [f"  {title}"] if title else []
    for name, row in zip(([""] if columns else []) + list(rows), heads + cells, strict=True):
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {name.ljust(side)}  {numbers}")
    return "\n".join(lines) + "\n"


def _vector(x: Matrix) -> str:
    return "[" + ", ".join(_number(a) for a in x) + "]"


def _number(x: float) -> str:
    """Whole numbers as such, others to four places."""
    return f"{x:.0f}" if float(x).is_integer() else f"{x:.4f}"
