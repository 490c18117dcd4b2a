"""Worked examples: the six steps of attention for a small input, every number shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.normalizers import Normalizer, Sigmoid, Softmax, softmax_of
from regard.attention.problem import Problem, make_problem
from regard.attention.scores import (
    ScaledDot,
    Score,
    additive_vector,
    dot_factor,
    keeps_inputs,
    uncapped,
)
from regard.errors import ShapeError
from regard.shapes import Float
from regard.tables import format_number, format_vector, number_table

__all__ = ["Worked", "worked"]

Matrix = np.ndarray[Any, np.dtype[np.float64]]

_SCORE, _NORMALIZER = ScaledDot(), Softmax()


@dataclass(frozen=True, eq=False)
class Worked:
    """Intermediate results of attention; `print` shows all six steps.

    Attributes:
        query: Q, `(queries, features)`; with key and value, step 1.
        key: K, `(keys, key_features)`.
        value: V, `(keys, values)`.
        scores: Q K^T, or what another score gives, `(queries, keys)`; step 2.
        scaled: the scores times the scale, capped where the score is, plus the bias, -inf where masked,
            `(queries, keys)`; step 3.
        weights: what the normaliser makes of each row, `(queries, keys)`; step 4.
        weighted: each value times its weight, `(queries, keys, values)`; step 5.
        output: their sum, `(queries, values)`; step 6.
        scale: factor of the scores.
        query_labels: a name for each query.
        key_labels: a name for each key.
        titles: of the steps: what is computed in each.
        projected: Q and K as a dot or additive score transforms them; `None` for others.
        vector: `v` of an additive score `v . tanh(q + k)`; `None` for others.
        sink: what each query gives to the sink of a softmax, `(queries,)`; `None` without one.
    """

    query: Float[Matrix, "queries features"]
    key: Float[Matrix, "keys key_features"]
    value: Float[Matrix, "keys values"]
    scores: Float[Matrix, "queries keys"]
    scaled: Float[Matrix, "queries keys"]
    weights: Float[Matrix, "queries keys"]
    weighted: Float[Matrix, "queries keys values"]
    output: Float[Matrix, "queries values"]
    scale: float
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    titles: tuple[str, ...]
    projected: tuple[Float[Matrix, "queries dim"], Float[Matrix, "keys dim"]] | None
    vector: Float[Matrix, " dim"] | None
    sink: Float[Matrix, " queries"] | None

    def __str__(self) -> str:
        return "\n\n".join(_steps(self))


def worked(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: Score = _SCORE,
    normalizer: Normalizer = _NORMALIZER,
    mask: Any = None,
    bias: Any = None,
    query_weight: Any = None,
    key_weight: Any = None,
    value_weight: Any = None,
    tokens: Sequence[str] | None = None,
    key_tokens: Sequence[str] | None = None,
    show: bool = True,
) -> Worked:
    """Attention in six steps (Vaswani et al. 2017), every intermediate result with its numbers.

    1. make Q, K, V; 2. score; 3. divide by sqrt(d_k); 4. softmax; 5. weight the values; 6. sum.
    Other scores and normalisers take the place of theirs; bias and mask belong to step 3. Everything is
    computed in float64, as `attend` computes it.

    Args:
        query: `(queries, features)` or one vector, numbers of any kind.
        key: `(keys, key_features)`.
        value: `(keys, values)`.
        score: any of `regard.scores`, its parameters NumPy arrays, or one of your own.
        normalizer: any of `regard.normalizers`, or one of your own.
        mask: `(queries, keys)` Booleans, `True` = may attend, or an object such as `regard.causal()`.
        bias: added to the scaled scores: `(queries, keys)`, or an object of `regard.positions`.
        query_weight: `W_Q`, with Q = query @ W_Q; Q is the query itself unless given.
        key_weight: `W_K`, with K = key @ W_K; K is the key itself unless given.
        value_weight: `W_V`, with V = value @ W_V; V is the value itself unless given.
        tokens: a name for each query, and for each key if there are as many keys as queries.
        key_tokens: a name for each key.
        show: print the steps.

    Returns:
        All intermediate results.

    Raises:
        ShapeError: arrays or names that do not fit.
        MaskError: a mask of the wrong type or shape.
        InputError: what is no score, normaliser or bias.

    >>> import regard
    >>> key, value = [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]
    >>> steps = regard.worked([1, 0, 1], key, value, score=regard.scores.Dot(), show=False)
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
    _check(Q, K, V, same_width=keeps_inputs(score))
    if tokens is not None and key_tokens is None and len(tokens) == len(K):
        key_tokens = tokens
    mask, bias = (np.asarray(x) if isinstance(x, list | tuple) else x for x in (mask, bias))
    problem = make_problem(Q, K, V, score=score, normalizer=normalizer, mask=mask, bias=bias)
    rows = slice(0, len(Q))
    q, k = (np.asarray(x, np.float64) for x in score.project(Q[None, None], K[None, None]))
    inner, _ = uncapped(score)
    factor = dot_factor(inner, q.shape[-1])
    scores = inner.pairwise(q, k) if factor is None else q @ k.swapaxes(-1, -2)
    scaled, weights = problem.scores(rows)[0, 0], problem.weights(rows)[0, 0]
    weighted = np.where((scaled == -math.inf)[:, :, None], 0.0, weights[:, :, None] * V)
    vector, softmax = additive_vector(inner), softmax_of(normalizer)
    steps = Worked(
        query=Q,
        key=K,
        value=V,
        scores=np.asarray(scores[0, 0], np.float64),
        scaled=scaled,
        weights=weights,
        weighted=weighted,
        output=weighted.sum(1),
        scale=1.0 if factor is None else factor,
        query_labels=_labels(tokens, len(Q), "query"),
        key_labels=_labels(key_tokens, len(K), "key"),
        titles=_titles(problem, factor),
        projected=None if factor is None and vector is None else (q[0, 0], k[0, 0]),
        vector=None if vector is None else np.asarray(vector, np.float64).reshape(-1),
        sink=None if softmax is None or softmax.sink is None else 1 - weights.sum(1),
    )
    if show:
        print(steps)
    return steps


def _check(Q: Matrix, K: Matrix, V: Matrix, *, same_width: bool) -> None:
    if same_width and Q.shape[1] != K.shape[1]:
        raise ShapeError(f"query has {Q.shape[1]} features, key has {K.shape[1]}; expected as many")
    if len(K) != len(V):
        raise ShapeError(
            f"key has {len(K)} positions, value has {len(V)}; each key needs its value"
        )


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


def _titles(problem: Problem, factor: float | None) -> tuple[str, ...]:
    """What each step computes, in words."""
    inner, cap = uncapped(problem.score)
    score, normalizer = type(inner).__name__, type(problem.normalizer).__name__
    if factor is not None and keeps_inputs(problem.score):
        second = "Score: Q K^T"
    elif factor is not None:
        second = f"Score: {score}, Q K^T after its projections"
    else:
        vector = additive_vector(inner)
        second = f"Score: {score}" + ("" if vector is None else ", v . tanh(q + k)")
    if factor is None:
        third = "Scale: nothing to scale"
    elif math.isclose(factor, (features := problem.query.shape[-1]) ** -0.5):
        third = f"Scale: divide by sqrt({features})"
    else:
        third = f"Scale: multiply by {factor:g}"
    if cap is not None:
        third += f"; cap: {cap:g} tanh(s / {cap:g})"
    if problem.bias is not None:
        third += "; add the bias"
    if problem.mask is not None:
        third += "; mask: -inf where a query may not attend"
    each = "score" if isinstance(problem.normalizer, Sigmoid) else "row"
    softmax = softmax_of(problem.normalizer)
    if softmax is not None and softmax.sink is not None:
        each += ", with a sink below the line"
    return (
        "Make Q, K, V",
        second,
        third,
        f"{normalizer} of each {each}",
        "Weight the values",
        "Sum: the output, weights V",
    )


def _steps(worked: Worked) -> list[str]:
    """One paragraph for each step: its matrix, then the numbers word by word."""
    queries, keys = worked.query_labels, worked.key_labels
    bodies = (
        number_table(worked.query, queries, title="Q")
        + number_table(worked.key, keys, title="K")
        + number_table(worked.value, keys, title="V"),
        number_table(worked.scores, queries, keys) + _pairs(worked),
        number_table(worked.scaled, queries, keys),
        number_table(worked.weights, queries, keys) + _sinks(worked),
        _weighted_values(worked),
        number_table(worked.output, queries),
    )
    steps = (
        f"{n}. {title}\n{body}"
        for n, (title, body) in enumerate(zip(worked.titles, bodies, strict=True), 1)
    )
    return [step.rstrip("\n") for step in steps]


def _pairs(worked: Worked) -> str:
    """Each score as the sum that it is, of queries and keys as the score transforms them."""
    if worked.projected is None:  # a score of one's own: its terms are not known
        return ""
    queries, keys = worked.projected
    lines = []
    if not (np.array_equal(queries, worked.query) and np.array_equal(keys, worked.key)):
        lines += [
            number_table(queries, worked.query_labels, title="projected q"),
            number_table(keys, worked.key_labels, title="projected k"),
        ]
    for i, (q, query) in enumerate(zip(queries, worked.query_labels, strict=True)):
        for j, (k, key) in enumerate(zip(keys, worked.key_labels, strict=True)):
            terms, total = _terms(q, k, worked.vector), float(worked.scores[i, j])
            lines.append(f"  {query} . {key} = {terms} = {format_number(total)}\n")
    return "".join(lines)


def _terms(q: Matrix, k: Matrix, vector: Matrix | None) -> str:
    if vector is None:
        return " + ".join(
            f"{format_number(a)} x {format_number(b)}" for a, b in zip(q, k, strict=True)
        )
    return " + ".join(
        f"{format_number(v)} x tanh({format_number(a)} + {format_number(b)})"
        for v, a, b in zip(vector, q, k, strict=True)
    )


def _sinks(worked: Worked) -> str:
    """What each query gives to the sink."""
    if worked.sink is None:
        return ""
    shares = zip(worked.query_labels, worked.sink, strict=True)
    return "".join(f"  {query} -> sink: {share:.4f}\n" for query, share in shares)


def _weighted_values(worked: Worked) -> str:
    lines = []
    for i, query in enumerate(worked.query_labels):
        for j, key in enumerate(worked.key_labels):
            value, product = format_vector(worked.value[j]), format_vector(worked.weighted[i, j])
            lines.append(f"  {query} <- {key}: {worked.weights[i, j]:.4f} x {value} = {product}\n")
        lines.append(f"  {query} sum: {format_vector(worked.output[i])}\n")
    return "".join(lines)
