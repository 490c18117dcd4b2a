"""The one function: score, mask, normalise, mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regard.attention import kernels
from regard.attention.arrays import checkpointed
from regard.attention.kernels import Statistic
from regard.attention.map import AttentionMap, watched_statistics
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.problem import Problem, make_problem
from regard.attention.scores import ScaledDot, Score
from regard.errors import InputError
from regard.shapes import Array, Float

__all__ = ["attend"]

_SCORE, _NORMALIZER = ScaledDot(), Softmax()


def attend(
    query: Float[Array, "*lead queries features"],
    key: Float[Array, "*key_lead keys key_features"],
    value: Float[Array, "*key_lead keys values"],
    *,
    score: Score = _SCORE,
    normalizer: Normalizer = _NORMALIZER,
    mask: Any = None,
    bias: Any = None,
    dropout: float = 0.0,
    seed: int = 0,
    watch: Sequence[str] = (),
) -> tuple[Float[Array, "... queries values"], AttentionMap]:
    """Attention: for each query a mixture of the values, weighted by how well their keys answer it.

    `output = normalizer(score(query, key) + bias, where mask) @ value`; with the settings as they
    are, `softmax(query @ key.T / sqrt(features)) @ value` (Vaswani et al. 2017).

    Args:
        query: `(queries, features)`, `(batch, queries, features)` or `(batch, heads, queries,
            features)`, a NumPy array, a torch tensor or a JAX array.
        key: likewise. With four axes it may have fewer heads, a divisor of the query's (grouped
            heads).
        value: one vector for each key.
        score: how well a key answers a query; see `regard.scores`.
        normalizer: from scores to weights; see `regard.normalizers`.
        mask: which keys a query may see: a Boolean array that broadcasts to `(..., queries,
            keys)`, `True` = may attend, or an object such as `regard.causal() &
            regard.padding(lengths)`. A query that may see nothing gets zeros. What a masked place
            holds, NaN included, reaches nothing.
        bias: added to the scores: a float array likewise, or an object such as
            `regard.positions.ALiBi()`. -inf masks; +inf takes all of a row's weight, shared among
            several.
        dropout: the probability that a weight is left out of the mixture (and the others scaled
            up). The map shows the weights before dropout.
        seed: of the dropout; the same seed leaves out the same weights.
        watch: names of statistics to compute along with the output where a kernel can:
            `"entropy"`, `"topk"`, `"pool"`, `"received"`. Everything can be asked of the map
            later, too. Of what a kernel found along with the output only the entropy has a
            gradient.

    Returns:
        The output, `(..., queries, values)`, and the `AttentionMap` of the weights, which costs
        nothing until it is asked.

    Raises:
        ShapeError: arrays that do not go together; heads that do not divide.
        MaskError: a mask of the wrong type or shape.
        InputError: integers where floats are needed, arrays of two libraries, an impossible
            dropout.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout}; expected a probability of at least 0 and below 1")
    watched = watched_statistics(watch)
    problem = make_problem(
        query, key, value, score=score, normalizer=normalizer, mask=mask, bias=bias
    )
    output, known = _compute(problem, watched, dropout, seed)
    return problem.layout.restore(output), AttentionMap(problem, known)


def _compute(
    problem: Problem, watched: tuple[Statistic, ...], dropout: float, seed: int
) -> tuple[Float[Array, "batch heads queries values"], Mapping[Statistic, Any]]:
    """The output by the first way that fits, and the statistics that came along."""
    if watched or dropout:
        together = kernels.one_pass(problem, watched, dropout=dropout, seed=seed)
        if together is not None:
            return together
    output = None if dropout else kernels.output(problem)
    return _tile_by_tile(problem, dropout, seed) if output is None else output, {}


def _tile_by_tile(
    problem: Problem, dropout: float, seed: int
) -> Float[Array, "batch heads queries values"]:
    """The slow twin: works for every score, normaliser, mask and library."""
    tiles = problem.tiles()
    output = checkpointed(problem.output, problem.query) if len(tiles) > 1 else problem.output
    parts = [output(rows, dropout, seed) for rows in tiles]
    return parts[0] if len(parts) == 1 else problem.layout.xp.concat(parts, axis=2)
