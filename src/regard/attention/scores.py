"""Score functions of the classic papers: how well each key matches each query.

A score works in two steps: `project` transforms queries and keys once, and `pairwise` then computes any
tile of the score matrix. Dot, scaled dot, general, cosine and location are dot products after projection
(`DotScore`), so each can take a flash kernel; additive and concat are both `v . tanh(q + k)` after
projection (`AdditiveScore`). `Capped` wraps any score and bounds it.

Learned parameters (matrices, a temperature) are arrays of the caller's library, so that gradients
reach them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.attention.arrays import (
    accumulation_dtype,
    grouped_matmul,
    is_array,
    matmul,
    namespace,
    transpose,
    widest_float,
)
from regard.attention.overrides import runs
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float

__all__ = [
    "Additive",
    "AdditiveScore",
    "Capped",
    "Concat",
    "Cosine",
    "Dot",
    "DotScore",
    "General",
    "Location",
    "ScaledDot",
    "Score",
    "additive_vector",
    "dot_factor",
    "keeps_inputs",
    "uncapped",
]

ADDITIVE_CHUNK = 2**18
"""Elements of `q + k` that exist at a time in an additive score: a megabyte stays in cache."""


class Score(ABC):
    """Base of score functions, computed in two steps."""

    @abstractmethod
    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Transform queries and keys, each by itself, once for the whole matrix.

        Args:
            query: `(batch, heads, queries, features)`.
            key: `(batch, key_heads, keys, key_features)`.

        Raises:
            ShapeError: widths that do not fit.
        """

    @abstractmethod
    def pairwise(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """The scores of all pairs of these projected queries and keys.

        Args:
            query: `(batch, heads, rows, dim)`.
            key: `(batch, key_heads, columns, dim)`; `key_heads` divides `heads`.
        """


class DotScore(Score):
    """Base of scores that are `factor * q . k` after projection, which flash kernels compute."""

    def factor(self, features: int) -> float:
        """The number that multiplies the dot product of projections of this width."""
        return 1.0

    def pairwise(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """`factor * query @ key.T`."""
        factor = self.factor(query.shape[-1])
        needless = not _is_learned(factor) and factor == 1.0
        return grouped_matmul(query if needless else query * factor, transpose(key))


@dataclass(frozen=True)
class Dot(DotScore):
    """`q . k` (Luong, Pham and Manning 2015)."""

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Query and key unchanged; their widths must be equal."""
        _check_same_width(query, key, "dot")
        return query, key


@dataclass(frozen=True)
class ScaledDot(DotScore):
    """`q . k / sqrt(d_k)` (Vaswani et al. 2017), or with another scale.

    Dividing by the root of the width keeps the scores of random vectors at unit variance, so that
    softmax does not saturate and gradients do not vanish for wide vectors.

    Args:
        scale: factor of the dot product; `1 / sqrt(d_k)` unless given. A number, or an array with
            one for all heads, with one for each, `(heads,)`, or that broadcasts to `(batch, heads,
            queries, 1)`. A learned one gets its gradient.
    """

    scale: Any = None

    def factor(self, features: int) -> float:
        """`1 / sqrt(features)`, or the scale if it is a number; 1 if `project` multiplies by it."""
        if self.scale is None:
            return 1 / math.sqrt(max(1, features))  # vectors without features match equally
        return 1.0 if _is_learned(self.scale) else self.scale

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Query and key, the query multiplied by a scale that is an array; of equal widths."""
        _check_same_width(query, key, "scaled dot")
        if not _is_learned(self.scale):
            return query, key
        xp = namespace(query=query, scale=self.scale)
        return query * xp.astype(_per_query(self.scale, query), query.dtype, copy=False), key


@dataclass(frozen=True, eq=False)
class General(DotScore):
    """`q^T W k` (Luong, Pham and Manning 2015): a learned bilinear form; widths may differ.

    Args:
        weight: `W`, `(query_features, key_features)` or `(heads, query_features, key_features)`.
    """

    weight: Float[Array, "*heads query_features key_features"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """`q^T W`, in the space of the keys; the key unchanged."""
        expected = (query.shape[-1], key.shape[-1])
        if tuple(self.weight.shape[-2:]) != expected:
            raise ShapeError(
                f"general score has a weight of shape {tuple(self.weight.shape)}; query and key "
                f"need {expected} (query features, key features)"
            )
        return _product(query, self.weight), key


@dataclass(frozen=True, eq=False)
class Cosine(DotScore):
    """`beta * q . k / (|q| |k|)` (Graves, Wayne and Danihelka 2014): direction only.

    A zero vector scores 0 with every other.

    Args:
        temperature: `beta`, the paper's key strength: a number, or an array that broadcasts to
            `(batch, heads, queries, 1)`.
    """

    temperature: Any = 1.0

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Unit vectors, the query's multiplied by the temperature."""
        _check_same_width(query, key, "cosine")
        return _unit(query) * self.temperature, _unit(key)


@dataclass(frozen=True, eq=False)
class Location(DotScore):
    """`(W q)_j` (Luong, Pham and Manning 2015): the score depends on the key's position alone.

    Args:
        weight: `W`, `(positions, features)`; there may be up to `positions` keys.
    """

    weight: Float[Array, "positions features"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """The query unchanged; row `j` of `W` in place of key `j`."""
        positions, features = self.weight.shape
        if features != query.shape[-1] or positions < key.shape[-2]:
            raise ShapeError(
                f"location score has a weight of shape {(positions, features)}; expected at least "
                f"{key.shape[-2]} positions (keys) and {query.shape[-1]} features (as the query)"
            )
        return query, self.weight[None, None, : key.shape[-2]]


@dataclass(frozen=True, eq=False)
class AdditiveScore(Score):
    """Base of scores that are `v . tanh(q + k)` after projection.

    Args:
        vector: `v`, `(dim,)`.
    """

    vector: Float[Array, " dim"]

    def pairwise(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """`v . tanh(q + k)`, a few keys at a time: no (queries, keys, dim) array is made."""
        xp = namespace(query=query, key=key)
        vector = xp.astype(self.vector, query.dtype, copy=False)
        batch, heads, rows, dim = query.shape
        key_heads, keys = key.shape[1:3]
        group = heads // key_heads
        query = xp.reshape(query, (batch, key_heads, group, rows, 1, dim))
        columns = max(1, ADDITIVE_CHUNK // max(1, batch * heads * rows * dim))
        parts = [
            matmul(xp.tanh(query + key[:, :, None, None, start : start + columns]), vector)
            for start in range(0, max(1, keys), columns)
        ]
        scores = parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
        return xp.reshape(scores, (scores.shape[0], heads, rows, keys))

    def _check_vector(self, width: int, name: str) -> None:
        if tuple(self.vector.shape) != (width,):
            raise ShapeError(
                f"{name} score has a vector of shape {tuple(self.vector.shape)}; expected "
                f"({width},), the width both sides are projected to"
            )


@dataclass(frozen=True, eq=False)
class Additive(AdditiveScore):
    """`v . tanh(W q + U k)` (Bahdanau, Cho and Bengio 2015).

    Args:
        vector: `v`, `(dim,)`.
        query_weight: `W`, `(query_features, dim)`; `None` if queries come already projected.
        key_weight: `U`, `(key_features, dim)`; `None` if keys come already projected, as in a
            recurrent decoder that attends to the same keys at every step.
    """

    query_weight: Float[Array, "query_features dim"] | None = None
    key_weight: Float[Array, "key_features dim"] | None = None

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """`W q` and `U k`."""
        query = _linear(query, self.query_weight, "query")
        key = _linear(key, self.key_weight, "key")
        if query.shape[-1] != key.shape[-1]:
            raise ShapeError(
                f"additive score has queries of {query.shape[-1]} features and keys of "
                f"{key.shape[-1]} after projection; expected as many"
            )
        self._check_vector(query.shape[-1], "additive")
        return query, key


@dataclass(frozen=True, eq=False)
class Concat(AdditiveScore):
    """`v . tanh(W [q; k])` (Luong, Pham and Manning 2015); equal to `Additive` with `W` cut in two.

    Args:
        vector: `v`, `(dim,)`.
        weight: `W`, `(query_features + key_features, dim)`.
    """

    weight: Float[Array, "both dim"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """The query times the upper rows of `W`, the key times the lower ones."""
        width = query.shape[-1]
        if self.weight.shape[0] != width + key.shape[-1]:
            raise ShapeError(
                f"concat score has a weight of shape {tuple(self.weight.shape)}; expected "
                f"{width} + {key.shape[-1]} rows (query and key features)"
            )
        self._check_vector(self.weight.shape[1], "concat")
        return _product(query, self.weight[:width]), _product(key, self.weight[width:])


@dataclass(frozen=True)
class Capped(Score):
    """`c tanh(s / c)`: another score, bounded to `(-c, c)` (Gemma Team 2024, "Gemma 2", section 2).

    Small scores stay what they are, as `c tanh(s / c) = s - s^3 / (3 c^2) + ...`; no weight of a row of
    `n` keys is larger than `exp(2 c) / (exp(2 c) + n - 1)`, and the gradient shrinks by
    `1 - tanh(s / c)^2` where a score is far out. A bias is added after the cap, and a mask acts after it:
    what is masked stays masked.

    Args:
        score: any score; of a dot or additive one the fused kernels compute the cap as well.
        cap: `c`, a number above 0. Gemma 2 has 50.

    Raises:
        InputError: what is no score, or a cap that is not a finite number above 0.

    >>> import numpy as np
    >>> from regard.attention.scores import Capped, Dot
    >>> one, hundred = np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 100.0)
    >>> round(float(Capped(Dot(), 50).pairwise(one, hundred)[0, 0, 0, 0]), 4)
    48.2014
    """

    score: Score
    cap: float

    def __post_init__(self) -> None:
        if not isinstance(self.score, Score):
            raise InputError(
                f"score is {self.score!r}; expected a score to cap, as in Capped(ScaledDot(), 50)"
            )
        number = isinstance(self.cap, int | float | np.number) and not isinstance(self.cap, bool)
        if not number or not 0 < self.cap < math.inf:
            raise InputError(f"cap is {self.cap!r}; expected a finite number above 0, such as 50")

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Query and key as the other score transforms them."""
        return self.score.project(query, key)

    def pairwise(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """`c tanh(s / c)` of the other score."""
        scores = self.score.pairwise(query, key)
        cap = float(self.cap)
        return cap * namespace(scores=scores).tanh(scores / cap)


def uncapped(score: Score) -> tuple[Score, float | None]:
    """The score inside a cap and the cap; the score itself and `None` where there is none.

    A subclass of `Capped` that computes something else is not taken apart.
    """
    if runs(score, "pairwise", Capped.pairwise) and runs(score, "project", Capped.project):
        return score.score, float(score.cap)  # type: ignore[attr-defined]
    return score, None


def dot_factor(score: Score, features: int) -> float | None:
    """The factor of a score whose pairs are `factor * q . k` after projection.

    Args:
        score: of any class.
        features: width of the projected queries.

    Returns:
        `None` for other scores: those with a `pairwise` of their own, and those whose factor is an
        array, of which a kernel has no gradient.
    """
    if not runs(score, "pairwise", DotScore.pairwise):
        return None
    factor: Any = score.factor(features)  # type: ignore[attr-defined]
    return None if _is_learned(factor) else factor


def additive_vector(score: Score) -> Array | None:
    """`v` of a score whose pairs are `v . tanh(q + k)` after projection; `None` for other scores."""
    if not runs(score, "pairwise", AdditiveScore.pairwise):
        return None
    return score.vector  # type: ignore[attr-defined]


def keeps_inputs(score: Score) -> bool:
    """Whether projecting leaves query and key as they are."""
    score = uncapped(score)[0]
    if runs(score, "project", ScaledDot.project):
        return not _is_learned(score.scale)  # type: ignore[attr-defined]
    return runs(score, "project", Dot.project)


def _is_learned(scale: Any) -> bool:
    """Whether a scale is an array, which may have a gradient; NumPy's scalars are numbers."""
    # Numbers first: torch cannot trace the other question about the symbol of a number.
    return not isinstance(scale, int | float | np.generic) and is_array(scale)


def _per_query(scale: Array, query: Array) -> Array:
    """A scale with four axes, the last of 1.

    Raises:
        ShapeError: an array that does not broadcast to `(batch, heads, queries, 1)`. Not even one
            that would broadcast along the features, which is no scale of a dot product.
    """
    given, heads = tuple(scale.shape), query.shape[1]
    shape = (heads, 1, 1) if given == (heads,) else given
    full = (*query.shape[:3], 1)
    if math.prod(given) == 1:
        shape = (1,)
    pairs = zip(shape[::-1], full[::-1], strict=False)
    if len(shape) > 4 or any(n != 1 and n != m for n, m in pairs):
        raise ShapeError(
            f"scaled dot score has a scale of shape {given}; expected one number, ({heads},) for "
            f"the heads, or an array that broadcasts to {full}"
        )
    return namespace(scale=scale).reshape(scale, (1,) * (4 - len(shape)) + shape)


def _check_same_width(query: Array, key: Array, name: str) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"{name} score needs query and key of one width; use General for different widths"
        )


def _linear(x: Array, weight: Array | None, side: str) -> Array:
    if weight is None:
        return x
    if x.shape[-1] != weight.shape[0]:
        raise ShapeError(
            f"additive score has a {side}_weight for {weight.shape[0]} features, but the {side} "
            f"has {x.shape[-1]}"
        )
    return _product(x, weight)


def _product(x: Array, weight: Array) -> Array:
    """`x @ weight`, in the wider of their types."""
    if x.dtype != weight.dtype:
        xp = namespace(x=x, weight=weight)
        dtype = widest_float(xp, x.dtype, weight.dtype)
        x, weight = xp.astype(x, dtype), xp.astype(weight, dtype)
    return matmul(x, weight)


def _unit(x: Array) -> Array:
    """`x / |x|`, and zero with a zero gradient where `x` is zero."""
    xp = namespace(x=x)
    wide = xp.astype(x, accumulation_dtype(xp, x), copy=False)  # float16 cannot hold the squares
    square = xp.sum(wide * wide, axis=-1, keepdims=True)
    zero = square == 0
    unit = xp.where(zero, 0.0, wide / xp.sqrt(xp.where(zero, 1.0, square)))
    return xp.astype(unit, x.dtype, copy=False)
