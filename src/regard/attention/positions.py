"""Positional encodings: vectors added to embeddings, rotations of queries and keys, score biases.

`sinusoidal` and `rotary` act on features. A `Bias` is added to the scores and answers for any tile, so
that no matrix of biases is made: `ALiBi`, `Relative` (T5) and `Gaussian` (Luong's local-p). Modules with
parameters, learned positions among them, are in `regard.layers`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NoReturn

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import accumulation_dtype, device_of, is_array, namespace
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = [
    "ALiBi",
    "Bias",
    "Gaussian",
    "Relative",
    "as_bias",
    "bias_tile",
    "relative_position_bucket",
    "rotary",
    "sinusoidal",
]


def sinusoidal(length: int, features: int, *, base: float = 10_000.0) -> Float[np.ndarray, "l f"]:
    """Sines and cosines of the position, to add to embeddings (Vaswani et al. 2017).

    `p[t, 2i] = sin(t / base^(2i / features))` and `p[t, 2i + 1] = cos(t / base^(2i / features))`.

    Args:
        length: number of positions.
        features: width of a vector.
        base: the longest wavelength is `2 pi base` positions.

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
    """Queries or keys rotated by their position (RoPE, Su et al. 2021).

    Each pair of features is rotated by `position / base^(2i / features)` radians; the dot product of
    a rotated query and a rotated key then depends on their distance only.

    Args:
        x: `(..., length, features)`, an even number of features.
        positions: of each row, counted from 0 unless given; must broadcast to `x` without its
            features.
        base: the longest wavelength is `2 pi base` positions.
        interleaved: pair feature `2i` with `2i + 1`, as in the paper; `False` pairs feature `i` with
            `i + features / 2`, as LLaMA's checkpoints do.

    Returns:
        The shape and type of `x`; angles are float32, or float64 for float64.

    Raises:
        ShapeError: an odd number of features.
    """
    xp, device = namespace(x=x), device_of(x)
    features = x.shape[-1]
    if features % 2:
        raise ShapeError(
            f"rotary got {features} features; expected an even number, to rotate in pairs"
        )
    dtype = accumulation_dtype(xp, x)
    if positions is None:
        positions = xp.arange(x.shape[-2], device=device)
    frequency = xp.asarray(
        base ** -(np.arange(0, features, 2) / features), dtype=dtype, device=device
    )
    angle = xp.astype(positions, dtype)[..., None] * frequency
    cosine, sine = xp.cos(angle), xp.sin(angle)
    pairs = (features // 2, 2) if interleaved else (2, features // 2)
    axis = -1 if interleaved else -2
    a, b = xp.unstack(xp.reshape(xp.astype(x, dtype), (*x.shape[:-1], *pairs)), axis=axis)
    rotated = xp.stack((a * cosine - b * sine, a * sine + b * cosine), axis=axis)
    return xp.astype(xp.reshape(rotated, x.shape), x.dtype)


class Bias(ABC):
    """Base of biases added to the scores. -inf masks; +inf takes all of a row's weight.

    Biases are summed by `+`, with float arrays and numbers, too: `ALiBi() + array`.
    """

    @abstractmethod
    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The bias of some query rows and key columns; leading axes may be 1."""

    def check(self, layout: AttentionLayout) -> None:  # noqa: B027
        """Raise a `ShapeError` if this bias does not fit a matrix of this layout."""

    def __add__(self, other: Bias | Array | float) -> Bias:
        number = isinstance(other, int | float) and not isinstance(other, bool)
        return _Sum(self, as_bias(np.full((1, 1), other, np.float64) if number else other))

    def __bool__(self) -> NoReturn:
        # Python's `and` and `or` would return one of two biases, and the other would be lost.
        raise InputError(
            "a bias is neither true nor false: add biases by +, not by `and` or `or`; to ask whether "
            "there is a bias, compare it with None"
        )

    __radd__ = __add__
    __array_ufunc__ = None  # `array + bias` calls `__radd__`, not NumPy element by element


@dataclass(frozen=True)
class ALiBi(Bias):
    """Attention with linear biases, `-slope |i - j|` (Press, Smith and Lewis 2022).

    The slopes of the heads fall geometrically from `2^(-8 / heads)` to `2^-8`. For a number of heads
    that is no power of two, further slopes lie between those, as in the authors' code.
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
        distance = layout.xp.abs(_relative_positions(layout, rows, columns))
        return -slopes[None, :, None, None] * layout.xp.astype(distance, layout.dtype)


@dataclass(frozen=True, eq=False)
class Relative(Bias):
    """A learned bias for each head and bucket of distances (T5, Raffel et al. 2020).

    Args:
        table: `(heads, buckets)`, or `(1, buckets)` for all heads.
        bidirectional: give keys after the query half of the buckets; `False`, for causal attention,
            gives them bucket 0.
        max_distance: distances from here on share the last bucket.
    """

    table: Float[Array, "heads buckets"]
    bidirectional: bool = True
    max_distance: int = 128

    def check(self, layout: AttentionLayout) -> None:
        """Raise a `ShapeError` unless the table has a row for each head and enough buckets."""
        if self.table.ndim != 2 or self.table.shape[0] not in (1, layout.heads):
            raise ShapeError(
                f"relative bias has a table of shape {tuple(self.table.shape)}; expected "
                f"({layout.heads}, buckets), a row for each head"
            )
        exact = self.table.shape[1] // (4 if self.bidirectional else 2)
        if not 1 <= exact < self.max_distance:
            raise ShapeError(
                f"relative bias has {self.table.shape[1]} buckets and "
                f"max_distance={self.max_distance}; expected at least "
                f"{4 if self.bidirectional else 2} buckets, and max_distance beyond the "
                f"{exact} distances that have one of their own"
            )

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        """The table's entries at the distances of the tile."""
        bucket = relative_position_bucket(
            _relative_positions(layout, rows, columns),
            buckets=self.table.shape[1],
            bidirectional=self.bidirectional,
            max_distance=self.max_distance,
        )
        flat = layout.xp.take(self.table, layout.xp.reshape(bucket, (-1,)), axis=1)
        return layout.xp.reshape(flat, (1, self.table.shape[0], *bucket.shape))


def relative_position_bucket(
    relative_position: Int[Array, "..."], *, buckets: int, bidirectional: bool, max_distance: int
) -> Int[Array, "..."]:
    """The bucket of each relative position, as in T5.

    Half of a direction's buckets hold one distance each; the other half grow logarithmically up to
    `max_distance`.

    Args:
        relative_position: key position less query position.
        buckets: of both directions together.
        bidirectional: whether keys after the query have buckets of their own.
        max_distance: distances from here on share the last bucket.
    """
    xp = namespace(relative_position=relative_position)
    first_bucket = xp.zeros_like(relative_position)
    if bidirectional:
        buckets //= 2
        first_bucket = xp.where(relative_position > 0, buckets, 0)
        distance = xp.abs(relative_position)
    else:
        distance = xp.clip(-relative_position, 0, None)
    exact = buckets // 2
    ratio = xp.astype(xp.clip(distance, exact, None), xp.float32) / exact
    logarithmic = exact + xp.astype(
        xp.log(ratio) / math.log(max_distance / exact) * (buckets - exact), relative_position.dtype
    )
    logarithmic = xp.clip(logarithmic, None, buckets - 1)
    return first_bucket + xp.where(distance < exact, distance, logarithmic)


@dataclass(frozen=True, eq=False)
class Gaussian(Bias):
    """A Gaussian around a predicted position (local-p of Luong, Pham and Manning 2015).

    `-(j - p_i)^2 / (2 sigma^2)` with `sigma = width / 2` for query `i` and key `j`. The paper
    multiplies the weights by this Gaussian after the softmax, so that rows sum to less than 1. Here
    its logarithm is added before, and rows sum to 1; the proportions within a row are those of the
    paper. Use it with `masks.local(centres, width)`.

    Args:
        centres: `p`, `(..., queries)`, differentiable.
        width: `D`, in positions.

    Raises:
        InputError: a width that is not positive.
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
        centres = layout.xp.astype(layout.align_per_query(self.centres), layout.dtype)
        centres = centres if centres.shape[2] == 1 else centres[:, :, rows]
        position = layout.xp.astype(layout.positions(columns), layout.dtype)
        return -2 * ((position - centres[..., None]) / self.width) ** 2


@dataclass(frozen=True)
class _ArrayBias(Bias):
    """A float array that broadcasts to the matrix."""

    array: Any

    def check(self, layout: AttentionLayout) -> None:
        layout.align(self.array, "bias")

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        return layout.tile_of(layout.align(self.array, "bias"), rows, columns)


@dataclass(frozen=True, eq=False)
class _Sum(Bias):
    """The sum of two biases; -inf masks, whatever the other one is."""

    first: Bias
    second: Bias

    def check(self, layout: AttentionLayout) -> None:
        self.first.check(layout)
        self.second.check(layout)

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        xp = layout.xp
        first, second = (
            xp.astype(bias_tile(bias, layout, rows, columns), layout.dtype, copy=False)
            for bias in (self.first, self.second)
        )
        masked = (first == -math.inf) | (second == -math.inf)
        return xp.where(masked, -math.inf, first + xp.where(masked, 0.0, second))  # no inf - inf


def as_bias(bias: Any) -> Bias:
    """A bias object, from a bias object or a float array.

    Raises:
        InputError: anything else; for a Boolean array the message says to pass it as `mask=`.
    """
    if isinstance(bias, Bias):
        return bias
    if not is_array(bias):
        remedy = " (several biases are summed by +)" if isinstance(bias, list | tuple) else ""
        if isinstance(bias, Mask):
            remedy = " (it is a mask: pass it as mask=)"
        raise InputError(
            f"bias is a {type(bias).__name__}; expected a float array or a bias such as "
            f"regard.positions.ALiBi(){remedy}"
        )
    if type(bias).__name__ == "CausalBias":
        raise InputError("bias is a CausalBias of torch; expected mask=regard.causal()")
    xp = compat.array_namespace(bias)
    if not xp.isdtype(bias.dtype, "real floating"):
        remedy = "pass it as mask=" if bias.dtype == xp.bool else "convert it to float"
        raise InputError(f"bias holds {bias.dtype}; expected floats ({remedy})")
    return _ArrayBias(bias)


def bias_tile(
    bias: Bias, layout: AttentionLayout, rows: slice, columns: slice
) -> Float[Array, "batch heads rows columns"]:
    """`bias.tile(...)`, with four axes in the library of the layout.

    Raises:
        InputError: a tile that does not hold floats.
        ShapeError: a tile of another shape than the rows and columns.
    """
    tile = bias.tile(layout, rows, columns)
    if not is_array(tile) or compat.array_namespace(tile) is not layout.xp:
        tile = layout.asarray(tile)
    if not layout.xp.isdtype(tile.dtype, "real floating"):
        raise InputError(f"{type(bias).__name__}.tile returned {tile.dtype}; expected floats")
    try:
        return layout.as_tile(tile, rows, columns)
    except ShapeError as error:
        raise ShapeError(f"{type(bias).__name__}.tile {error}") from None


def _relative_positions(
    layout: AttentionLayout, rows: slice, columns: slice
) -> Int[Array, "rows columns"]:
    """Key position less query position; the last query sits at the last key."""
    return layout.positions(columns) - (layout.positions(rows) + layout.offset)[:, None]
