"""How well a key answers a query: the scores of the classic papers.

A score is projected once and then answers for any tile. Dot, scaled dot, general, cosine and
location are plain dot products after their projection (`DotScore`), so all of them can take a
flash kernel; additive and concat are both `v . tanh(q + k)` after theirs (`AdditiveScore`).

Settings that are learned (matrices, a temperature) are arrays of the caller's library, so that
gradients reach them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from regard.attention.arrays import accumulation_dtype, grouped_matmul, namespace, transpose
from regard.errors import ShapeError
from regard.shapes import Array, Float

__all__ = [
    "Additive",
    "AdditiveScore",
    "Concat",
    "Cosine",
    "Dot",
    "DotScore",
    "General",
    "Location",
    "ScaledDot",
    "Score",
]

CHUNK = 2**18
"""Elements of `q + k` that exist at a time in an additive score: a megabyte stays in cache."""


class Score(ABC):
    """A score function, in two steps."""

    @abstractmethod
    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """What depends on one position only, done once.

        Args:
            query: `(batch, heads, queries, features)`.
            key: `(batch, key_heads, keys, features)`.

        Raises:
            ShapeError: if the widths do not go together.
        """

    @abstractmethod
    def pair(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """The scores of every pair of these projected queries and keys."""


class DotScore(Score):
    """A score that is `factor * q . k` after projection, which is what a flash kernel computes."""

    def factor(self, features: int) -> float:
        """What the dot product is multiplied by, for projections this wide."""
        return 1.0

    def pair(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """`factor * query @ key.T`."""
        factor = self.factor(query.shape[-1])
        return grouped_matmul(query * factor if factor != 1.0 else query, transpose(key))


@dataclass(frozen=True)
class Dot(DotScore):
    """`q . k` (Luong, Pham and Manning 2015)."""

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Nothing to project; the widths must agree."""
        _same_width(query, key, "dot")
        return query, key


@dataclass(frozen=True)
class ScaledDot(DotScore):
    """`q . k / sqrt(d_k)` (Vaswani et al. 2017), or with another scale.

    Dividing by the root of the width keeps the scores of random vectors at unit variance, so that
    softmax does not saturate and gradients do not vanish for wide vectors.
    """

    scale: float | None = None

    def factor(self, features: int) -> float:
        """`1 / sqrt(features)`, or the given scale."""
        return 1 / math.sqrt(features) if self.scale is None else self.scale

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Nothing to project; the widths must agree."""
        _same_width(query, key, "scaled dot")
        return query, key


@dataclass(frozen=True, eq=False)
class General(DotScore):
    """`q^T W k` (Luong 2015): widths may differ, and what is compared is learned.

    Args:
        weight: `(query features, key features)`, or with heads in front.
    """

    weight: Float[Array, "*heads query_features key_features"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Brings the query into the space of the keys."""
        expected = (query.shape[-1], key.shape[-1])
        if tuple(self.weight.shape[-2:]) != expected:
            raise ShapeError(
                f"general score has a weight of shape {tuple(self.weight.shape)}; query and key "
                f"need {expected} (query features, key features)"
            )
        return query @ self.weight, key


@dataclass(frozen=True, eq=False)
class Cosine(DotScore):
    """`beta * q . k / (|q| |k|)` (Graves, Wayne and Danihelka 2014): direction only.

    Args:
        temperature: `beta`, the key strength: a number, or an array that broadcasts to
            `(batch, heads, queries, 1)`. A zero vector scores 0 with everything.
    """

    temperature: Any = 1.0

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Unit vectors, the query's stretched by the temperature."""
        _same_width(query, key, "cosine")
        return _unit(query) * self.temperature, _unit(key)


@dataclass(frozen=True, eq=False)
class Location(DotScore):
    """`(W q)_j` (Luong 2015): the query alone says where to look; keys count only by place.

    Args:
        weight: `(places, features)`; a matrix with up to `places` keys can be scored.
    """

    weight: Float[Array, "places features"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Row `j` of `W` stands in for the key at place `j`."""
        places, features = self.weight.shape
        if features != query.shape[-1] or places < key.shape[-2]:
            raise ShapeError(
                f"location score has a weight of shape {(places, features)}; expected at least "
                f"{key.shape[-2]} places (keys) and {query.shape[-1]} features (as the query)"
            )
        return query, self.weight[None, None, : key.shape[-2]]


@dataclass(frozen=True, eq=False)
class AdditiveScore(Score):
    """A score that is `v . tanh(q + k)` after projection."""

    vector: Float[Array, " dim"]

    def pair(self, query: Array, key: Array) -> Float[Array, "batch heads rows columns"]:
        """`v . tanh(q + k)`, a few keys at a time: no (queries, keys, dim) array is made."""
        xp = namespace(query=query, key=key)
        vector = xp.astype(self.vector, query.dtype, copy=False)
        batch, heads, rows, dim = query.shape
        key_heads, keys = key.shape[1:3]
        group = heads // key_heads
        query = xp.reshape(query, (batch, key_heads, group, rows, 1, dim))
        chunk = max(1, CHUNK // max(1, batch * heads * rows * dim))
        parts = [
            xp.tanh(query + key[:, :, None, None, start : start + chunk]) @ vector
            for start in range(0, max(1, keys), chunk)
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
        query_weight: `W`, `(query features, dim)`; `None` when queries come already projected.
        key_weight: `U`, `(key features, dim)`; `None` when keys come already projected, as in a
            recurrent decoder that asks the same keys at every step.
    """

    query_weight: Float[Array, "query_features dim"] | None = None
    key_weight: Float[Array, "key_features dim"] | None = None

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """`W q` and `U k`."""
        query = _linear(query, self.query_weight, "query", "additive")
        key = _linear(key, self.key_weight, "key", "additive")
        _same_width(query, key, "additive", remedy="after projection")
        self._check_vector(query.shape[-1], "additive")
        return query, key


@dataclass(frozen=True, eq=False)
class Concat(AdditiveScore):
    """`v . tanh(W [q; k])` (Luong 2015); the same as additive with `W` cut in two.

    Args:
        vector: `v`, `(dim,)`.
        weight: `W`, `(query features + key features, dim)`.
    """

    weight: Float[Array, "both dim"]

    def project(self, query: Array, key: Array) -> tuple[Array, Array]:
        """The upper rows of `W` meet the query, the lower ones the key."""
        width = query.shape[-1]
        if self.weight.shape[0] != width + key.shape[-1]:
            raise ShapeError(
                f"concat score has a weight of shape {tuple(self.weight.shape)}; expected "
                f"{width} + {key.shape[-1]} rows (query and key features)"
            )
        self._check_vector(self.weight.shape[1], "concat")
        return query @ self.weight[:width], key @ self.weight[width:]


def _same_width(
    query: Array, key: Array, name: str, remedy: str = "use General for different sizes"
) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"query has {query.shape[-1]} features, key has {key.shape[-1]}; {name} needs them "
            f"equal ({remedy})"
        )


def _linear(x: Array, weight: Array | None, side: str, name: str) -> Array:
    if weight is None:
        return x
    if x.shape[-1] != weight.shape[0]:
        raise ShapeError(
            f"{side} has {x.shape[-1]} features, but the {name} score's {side}_weight takes "
            f"{weight.shape[0]}"
        )
    return x @ weight


def _unit(x: Array) -> Array:
    """`x / |x|`, and zero with a zero gradient where `x` is zero."""
    xp = namespace(x=x)
    wide = xp.astype(x, accumulation_dtype(xp, x), copy=False)  # float16 does not hold the squares
    square = xp.sum(wide * wide, axis=-1, keepdims=True)
    zero = square == 0
    unit = xp.where(zero, 0.0, wide / xp.sqrt(xp.where(zero, 1.0, square)))
    return xp.astype(unit, x.dtype, copy=False)
