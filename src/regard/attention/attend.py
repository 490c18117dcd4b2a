"""`attend`, the one function: score, mask, normalise, and average the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regard.attention import kernels
from regard.attention.answers import Answers, Watch, watched_statistics
from regard.attention.arrays import checkpointed
from regard.attention.exporting import is_exporting
from regard.attention.inputs import shape_of
from regard.attention.jagged import is_nested, pad_all
from regard.attention.kernels import NamedStatistic
from regard.attention.map import AttentionMap
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.problem import Problem, make_problem
from regard.attention.scores import ScaledDot, Score
from regard.attention.statistics import evaluate
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Real

__all__ = ["attend"]

_SCORE, _NORMALIZER = ScaledDot(), Softmax()


def attend(
    query: Real[Array, "*lead queries features"],
    key: Real[Array, "*key_lead keys key_features"],
    value: Real[Array, "*key_lead keys values"],
    *,
    score: Score = _SCORE,
    normalizer: Normalizer = _NORMALIZER,
    mask: Any = None,
    bias: Any = None,
    dropout: float = 0.0,
    seed: int = 0,
    watch: Watch = (),
) -> tuple[Float[Array, "... queries values"], AttentionMap]:
    """Attention: for each query, the average of the values weighted by the match of their keys.

    `output = normalizer(score(query, key) + bias, where mask) @ value`; by default
    `softmax(query @ key.T / sqrt(features)) @ value` (Vaswani et al. 2017).

    Args:
        query: `(queries, features)`, `(batch, queries, features)` or `(batch, heads, queries,
            features)`: a NumPy array, a torch tensor or a JAX array. One vector is one query. Floats of
            several types are widened to the widest; integers, and lists of numbers, take the float type
            of the others, or else the library's default. Nested tensors (`layout=torch.jagged`) are
            taken where all three are nested; the map is then that of the padded batch.
        key: `(..., keys, key_features)`, an array of the same library. With four axes it may have
            fewer heads, a divisor of the query's (grouped heads).
        value: `(..., keys, values)`, one vector for each key.
        score: how well each key matches each query; see `regard.scores`.
        normalizer: from scores to weights; see `regard.normalizers`.
        mask: the keys each query may attend to: a Boolean array that broadcasts to `(..., queries,
            keys)`, `True` = may attend, or an object such as `regard.causal() &
            regard.padding(lengths)`. A query that may attend to nothing gets zeros. Values at masked
            positions, NaN included, have no effect on the output or on gradients.
        bias: added to the scores: a float array that broadcasts to `(..., queries, keys)`, or an
            object such as `regard.positions.ALiBi()`. -inf masks; +inf takes all of a row's weight,
            shared among several.
        dropout: the probability that a weight is left out of the average (the others are scaled
            up). The map shows the weights before dropout.
        seed: of the dropout; one seed leaves out the same weights every time.
        watch: statistics to compute along with the output: `"entropy"`, `"lse"`, `"max_score"`, `"topk"`,
            `"pool"`, `"received"`, where a kernel can, and objects of `regard.statistics` or of your own.
            The map computes each of them later, too. Of those that a kernel computes along with the output
            entropy and lse have a gradient; your own have that of their operations.

    Returns:
        The output, `(..., queries, values)`, and the `AttentionMap` of the weights, which costs
        nothing until one of its methods is called.

    Raises:
        ShapeError: arrays whose shapes do not fit; heads that do not divide. The message ends with
            the three shapes.
        MaskError: a mask of the wrong type or shape.
        SettingsError: `watch` names a statistic that does not exist.
        InputError: arrays that hold no real numbers, arrays of two libraries, an impossible dropout.

    >>> import numpy as np
    >>> import regard
    >>> x = np.eye(3)
    >>> output, weights = regard.attend(x, x, x, mask=regard.causal())
    >>> weights.dense()[0].tolist()
    [1.0, 0.0, 0.0]
    """
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout}; expected a probability of at least 0 and below 1")
    watched, own = watched_statistics(watch)
    nested = None
    if is_nested(query) or is_nested(key) or is_nested(value):
        (nested, key, value), mask = pad_all(query, key, value, mask, bias)
        query = nested.padded
    try:
        problem = make_problem(
            query, key, value, score=score, normalizer=normalizer, mask=mask, bias=bias
        )
    except ShapeError as error:
        given = {"query": query, "key": key, "value": value}
        shapes = ", ".join(f"{name} {shape_of(array)}" for name, array in given.items())
        raise ShapeError(f"{error} (got {shapes})") from None
    output, statistics = _compute(problem, watched, dropout, seed)
    output = problem.layout.restore(output)
    if problem.layout.output_dtype is not None:
        output = problem.layout.xp.astype(output, problem.layout.output_dtype)
    if nested is not None:
        output = nested.nest(output)
    answers = Answers(statistics)
    for statistic in own:
        answers.keep(statistic, evaluate(problem, statistic))
    return output, AttentionMap(problem, answers)


def _compute(
    problem: Problem, watched: tuple[NamedStatistic, ...], dropout: float, seed: int
) -> tuple[Float[Array, "batch heads queries values"], Mapping[NamedStatistic, Any]]:
    """The output by the first method that fits, and the statistics computed along with it."""
    if is_exporting():
        return problem.output(slice(0, problem.layout.queries), dropout, seed), {}
    if watched or dropout:
        together = kernels.one_pass(problem, watched, dropout=dropout, seed=seed)
        if together is not None:
            return together
    output = None if dropout else kernels.output(problem)
    return _tile_by_tile(problem, dropout, seed) if output is None else output, {}


def _tile_by_tile(
    problem: Problem, dropout: float, seed: int
) -> Float[Array, "batch heads queries values"]:
    """The slow twin of the kernels, for every score, normaliser, mask and library."""
    tiles = problem.tiles()
    output = checkpointed(problem.output, problem.query) if len(tiles) > 1 else problem.output
    parts = [output(rows, dropout, seed) for rows in tiles]
    return parts[0] if len(parts) == 1 else problem.layout.xp.concat(parts, axis=2)
