"""Where a token stands: vectors added to it, rotations of it, and biases on the scores.

`sinusoidal` and `rotary` act on features. A `Bias` is added to the scores and answers for any
tile, so that no matrix of biases is made: `ALiBi`, `Relative` (T5) and `Gaussian` (Luong's
local-p). Learned positions are a table of vectors: see `regard.layers`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import device_of, namespace
from regard.attention.layout import AttentionLayout
from regard.attention.masks import per_query
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = [
    "ALiBi",
    "Bias",
    "Gaussian",
    "Relative",
    "relative_position_bucket",
    "rotary",
    "sinusoidal",
]


def sinusoidal(length: int, features: int, *, base: float = 10_000.0) -> Float[np.ndarray, "l f"]:
    """Vectors to add to embeddings (Vaswani et al. 2017).

    `p[t, 2i] = sin(t / base^(2i / features))` and `p[t, 2i + 1] = cos(...)` of the same angle.

    Returns:
        `(length, features)`, float32.
    """
    angles = np.arange(length)[:, None] / base ** (np.arange(0, features, 2) / features)
    vectors = np.empty((length, features), np.float32)
    vectors[:, 0::2] = np.sin(angles)
    vectors[:, 1::2] = np.cos(angles[:, : features // 2])
    return vectors


def rotary(
    x: Float[Array, "... length features"],
    positions: Int[Array, "... length"] | None = None,
    *,
    base: float = 10_000.0,
    interleaved: bool = True,
) -> Float[Array, "... length features"]:
    """Queries or keys turned by their position (RoPE, Su et al. 2021).

    Each pair of features is turned by `position / base^(2i / features)`; the dot product of a
    turned query and a turned key then depends on their distance only.

    Args:
        x: an even number of features.
        positions: of each row, counted from 0 where not given; must broadcast to `x` without its
            features.
        base: the longest wavelength is `2 pi base`.
        interleaved: pair feature `2i` with `2i + 1`, as the paper does; `False` pairs feature `i` with
            `i + features / 2`, as LLaMA's checkpoints do.

    Raises:
        ShapeError: for an odd number of features.
    """
    xp, device = namespace(x=x), device_of(x)
    features = x.shape[-1]
    if features % 2:
        raise ShapeError(
            f"rotary got {features} features; expected an even number, to turn in pairs"
        )
    wide = xp.float64 if x.dtype == xp.float64 else xp.float32
    if positions is None:
        positions = xp.arange(x.shape[-2], device=device)
    frequency = xp.asarray(
        base ** -(np.arange(0, features, 2) / features), dtype=wide, device=device
    )
    angle = xp.astype(positions, wide)[..., None] * frequency
    cosine, sine = xp.cos(angle), xp.sin(angle)
    pairs = (features // 2, 2) if interleaved else (2, features // 2)
    x_pairs = xp.reshape(xp.astype(x, wide), (*x.shape[:-1], *pairs))
    axis = -1 if interleaved else -2
    a, b = xp.unstack(x_pairs, axis=axis)
    turned = xp.stack((a * cosine - b * sine, a * sine + b * cosine), axis=axis)
    return xp.astype(xp.reshape(turned, x.shape), x.dtype)


class Bias(ABC):
    """Something added to the scores. -inf masks; +inf takes all of a row's weight."""

    @abstractmethod
    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The bias of some query rows and key columns; leading axes may be 1."""

    def check(self, layout: AttentionLayout) -> None:  # noqa: B027
        """Raises a `ShapeError` if this bias cannot belong to a matrix of these sizes."""


@dataclass(frozen=True)
class ALiBi(Bias):
    """`-slope |i - j|`, a slope for each head (Press, Smith and Lewis 2022).

    Slopes fall geometrically from `2^(-8 / heads)` to `2^-8`; for a number of heads that is no
    power of two, the missing ones are taken from between, as in the authors' code.
    """

    def slopes(self, heads: int) -> Float[np.ndarray, " heads"]:
        """The slope of each head."""
        power = 2 ** math.floor(math.log2(heads))
        first = 2.0 ** (-8 * np.arange(1, power + 1) / power)
        between = 2.0 ** (-4 * np.arange(1, 2 * (heads - power), 2) / power)
        return np.concatenate((first, between))

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The distances of the tile times the slopes."""
        slopes = layout.asarray(self.slopes(layout.heads), layout.dtype)
        distance = layout.xp.abs(_relative_places(layout, rows, columns))
        return -slopes[None, :, None, None] * layout.xp.astype(distance, layout.dtype)


@dataclass(frozen=True, eq=False)
class Relative(Bias):
    """A learned number for each range of distances (T5, Raffel et al. 2020).

    Args:
        table: `(heads, buckets)`.
        bidirectional: half the buckets for keys ahead of the query; else those share bucket 0, for
            causal attention.
        max_distance: distances from here on share the last bucket.
    """

    table: Float[Array, "heads buckets"]
    bidirectional: bool = True
    max_distance: int = 128

    def check(self, layout: AttentionLayout) -> None:
        """The table needs a row for each head."""
        if self.table.ndim != 2 or self.table.shape[0] not in (1, layout.heads):
            raise ShapeError(
                f"relative bias has a table of shape {tuple(self.table.shape)}; expected "
                f"({layout.heads}, buckets), a row for each head"
            )
        exact = self.table.shape[1] // (4 if self.bidirectional else 2)
        if not 1 <= exact < self.max_distance:
            raise ShapeError(
                f"relative bias has {self.table.shape[1]} buckets and max_distance={self.max_distance}; "
                f"expected at least {4 if self.bidirectional else 2} buckets, and max_distance beyond the "
                f"{exact} distances that have one of their own"
            )

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The table looked up at the distances of the tile."""
        places = _relative_places(layout, rows, columns)
        bucket = relative_position_bucket(
            places,
            buckets=self.table.shape[1],
            bidirectional=self.bidirectional,
            max_distance=self.max_distance,
        )
        flat = layout.xp.take(self.table, layout.xp.reshape(bucket, (-1,)), axis=1)
        return layout.xp.reshape(flat, (1, self.table.shape[0], *bucket.shape))


def relative_position_bucket(
    relative: Int[Array, "..."], *, buckets: int, bidirectional: bool, max_distance: int
) -> Int[Array, "..."]:
    """The bucket of a distance `key place - query place`, as in T5.

    Half of a direction's buckets are single distances; the other half grow logarithmically up to
    `max_distance`.
    """
    xp = namespace(relative=relative)
    start = xp.zeros_like(relative)
    if bidirectional:
        buckets //= 2
        start = xp.where(relative > 0, buckets, 0)
        distance = xp.abs(relative)
    else:
        distance = xp.clip(-relative, 0, None)
    exact = buckets // 2
    ratio = xp.astype(xp.clip(distance, exact, None), xp.float32) / exact
    far = exact + xp.astype(
        xp.log(ratio) / math.log(max_distance / exact) * (buckets - exact), relative.dtype
    )
    return start + xp.where(distance < exact, distance, xp.clip(far, None, buckets - 1))


@dataclass(frozen=True, eq=False)
class Gaussian(Bias):
    """`-(j - p_i)^2 / (2 (width / 2)^2)`: attention falls off around a predicted place (local-p).

    Luong 2015 multiplies the weights by this Gaussian after the softmax, so that rows sum to less
    than 1. Here its logarithm is added before, and rows sum to 1; the proportions are the same.
    Use it with `masks.local(centres, width)`.

    Args:
        centres: `p`, `(..., queries)`, differentiable.
        width: `D`; the standard deviation is `D / 2`.
    """

    centres: Float[Array, "... queries"]
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise InputError(f"Gaussian got a width of {self.width}; expected more than 0 keys")

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The exponent at the columns of the tile."""
        centres = layout.xp.astype(per_query(layout, self.centres), layout.dtype)
        centres = centres if centres.shape[2] == 1 else centres[:, :, rows]
        place = layout.xp.astype(layout.places(columns), layout.dtype)
        return -2 * ((place - centres[..., None]) / self.width) ** 2


@dataclass(frozen=True)
class _ArrayBias(Bias):
    """A float array that broadcasts to the matrix."""

    array: Any

    def check(self, layout: AttentionLayout) -> None:
        layout.align(self.array, "bias")

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        array = layout.align(self.array, "bias")
        if array.shape[2] != 1:
            array = array[:, :, rows]
        return array if array.shape[3] == 1 else array[..., columns]


def as_bias(bias: Any) -> Bias:
    """A bias object, from one or from a float array.

    Raises:
        InputError: for anything else.
    """
    if isinstance(bias, Bias):
        return bias
    if not compat.is_array_api_obj(bias):
        raise InputError(
            f"bias is a {type(bias).__name__}; expected a float array or a bias such as "
            "regard.positions.ALiBi()"
        )
    xp = compat.array_namespace(bias)
    if not xp.isdtype(bias.dtype, "real floating"):
        remedy = "pass it as mask=" if bias.dtype == xp.bool else "convert it to float"
        raise InputError(f"bias holds {bias.dtype}; expected floats ({remedy})")
    return _ArrayBias(bias)


def _relative_places(
    layout: AttentionLayout, rows: slice, columns: slice
) -> Int[Array, "rows columns"]:
    """Key place less query place; the last query sits at the last key."""
    return layout.places(columns) - (layout.places(rows) + layout.offset)[:, None]
