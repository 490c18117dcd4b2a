"""Statistics ready for use, each an example of the protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from regard.attention.arrays import grouped_matmul, is_array, namespace, stop_gradient, to_numpy
from regard.attention.layout import AttentionLayout
from regard.attention.row_function import RowFunction
from regard.attention.statistics.base import Per, Statistic, Tile
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = [
    "MassWithinWindow",
    "RenyiEntropy",
    "ShareOnKeys",
    "WeightHistogram",
    "WeightedValues",
]

LOG_OF_NOTHING = -1e30
"""In place of the logarithm of 0, which has no finite gradient."""

SMALLEST_COMPILED_ORDER = 0.5
"""Order of a Renyi entropy from which the powers of weights below 1e-38 add nothing to a sum in float32."""


@dataclass(frozen=True)
class RenyiEntropy(Statistic):
    r"""Renyi entropy of each query's weights, in nats (Renyi 1961); 0 for a masked row.

    .. math:: H_\alpha = \frac{1}{1 - \alpha} \log \sum_j w_j^\alpha

    `exp` of it is an effective number of keys. Order 1 is the limit, Shannon's entropy; 0 the logarithm of the
    number of keys with a weight; infinity minus the logarithm of the largest weight. Gradients flow, except
    for order 0.

    Args:
        order: `alpha`, from 0 to infinity.

    Raises:
        InputError: a negative order.
    """

    order: float = 2.0

    def __post_init__(self) -> None:
        if not self.order >= 0:
            raise InputError(f"RenyiEntropy got order {self.order}; expected 0 or more")

    def of_tile(self, tile: Tile) -> Float[Array, "batch heads rows"]:
        """The logarithm of the sum of powers, whose summands may be too small for float32.

        For order 1 the sum of the entropy itself, for infinity the largest logarithm.
        """
        xp, weights = tile.xp, tile.weights
        some = weights != 0  # also NaN, which is to be seen
        log = xp.log(xp.where(some, weights, 1.0))
        if self.order == 1:
            return 0.0 - xp.sum(weights * log, axis=-1)
        if not weights.shape[-1]:
            return xp.sum(weights, axis=-1) + LOG_OF_NOTHING
        finite = self.order != math.inf
        powers = xp.where(some, self.order * log if finite else log, LOG_OF_NOTHING)
        largest = xp.max(powers, axis=-1)
        if not finite:
            return largest
        largest = stop_gradient(largest)
        return largest + xp.log(xp.sum(xp.exp(powers - largest[..., None]), axis=-1))

    def row_function(self, layout: AttentionLayout) -> RowFunction | None:
        """The entropy of a row; not for orders so small that weights which are 0 in float32 would count."""
        from regard.attention.statistics import row_functions

        if self.order < SMALLEST_COMPILED_ORDER:
            return None
        if self.order == 1:
            return RowFunction(row_functions.add_entropy)
        if self.order == math.inf:
            return RowFunction(row_functions.take_largest, start=LOG_OF_NOTHING)
        return RowFunction(row_functions.add_powers, None, LOG_OF_NOTHING, (float(self.order),))

    def merge(self, first: Array, second: Array) -> Array:
        """The sum, taken between logarithms."""
        if self.order == 1:
            return first + second
        xp = namespace(first=first)
        return (xp.maximum if self.order == math.inf else xp.logaddexp)(first, second)

    def finish(self, partial: Array) -> Float[Array, "batch heads queries"]:
        """The entropy of each query."""
        if self.order == 1:
            return partial
        entropy = 0.0 - partial if self.order == math.inf else partial / (1 - self.order)
        return namespace(partial=partial).where(partial < LOG_OF_NOTHING / 2, 0.0, entropy)


@dataclass(frozen=True, eq=False)
class ShareOnKeys(Statistic):
    """Sum of each query's weights on some keys: on separators, a sentence, an attention sink.

    Args:
        keys: their positions (integers, negative ones counted from the end), or Booleans that mark
            them: `(keys,)`, `(batch, keys)` or `(batch, heads, keys)`.

    Raises:
        InputError: something that is neither.
    """

    keys: Any

    def __post_init__(self) -> None:
        kind = self._given().dtype.kind
        if kind not in "bi":
            raise InputError(
                f"ShareOnKeys got {self.keys!r}; expected integers (positions) or Booleans (marks)"
            )

    def check(self, layout: AttentionLayout) -> None:
        """Refuse positions that do not exist, and marks of another size.

        Raises:
            ShapeError: see above.
        """
        given, keys = self._given(), layout.keys
        if given.dtype.kind == "i":
            if given.size and not (-keys <= given.min() and given.max() < keys):
                raise ShapeError(
                    f"ShareOnKeys has key {given.max() if given.max() >= keys else given.min()}; the map "
                    f"has {keys} keys"
                )
            return
        full = (layout.batch, layout.heads, 1, keys)
        shape = self._with_four_axes(given, layout).shape
        if len(shape) != 4 or any(n not in (1, m) for n, m in zip(shape, full, strict=True)):
            raise ShapeError(
                f"ShareOnKeys has marks of shape {given.shape}; expected ({keys},), ({layout.batch}, {keys}) "
                f"or ({layout.batch}, {layout.heads}, {keys})"
            )

    def of_tile(self, tile: Tile) -> Float[Array, "batch heads rows"]:
        """The sum over those of the keys that are in the tile."""
        marks, layout = self._marks(tile.layout), tile.layout
        marks = layout.asarray(marks if marks.shape[-1] == 1 else marks[..., tile.columns])
        return tile.xp.sum(tile.xp.where(marks, tile.weights, 0.0), axis=-1)

    def row_function(self, layout: AttentionLayout) -> RowFunction:
        """The sum over the marked keys of a row."""
        from regard.attention.statistics import row_functions

        marks = self._marks(layout)[:, :, 0]
        marks = np.broadcast_to(marks, (*marks.shape[:2], layout.keys))
        return RowFunction(row_functions.add_marked, data=(marks.astype(np.float32),))

    def _marks(self, layout: AttentionLayout) -> np.ndarray:
        """Whether each key counts, with four axes."""
        marks = self._given()
        if marks.dtype.kind == "i":
            positions, marks = marks, np.zeros(layout.keys, bool)
            marks[positions] = True
        return self._with_four_axes(marks, layout)

    def _given(self) -> np.ndarray:
        given = to_numpy(self.keys) if is_array(self.keys) else np.asarray(self.keys)
        return given.astype(np.int64) if given.dtype.kind == "u" or not given.size else given

    def _with_four_axes(self, marks: np.ndarray, layout: AttentionLayout) -> np.ndarray:
        if marks.ndim == 2:  # of examples
            marks = marks[:, None]
        return marks.reshape((1,) * (3 - marks.ndim) + marks.shape)[:, :, None]


@dataclass(frozen=True)
class MassWithinWindow(Statistic):
    """Sum of each query's weights on the keys around its own position.

    The last query sits at the last key, as in `regard.window`.

    Args:
        before: keys before.
        after: keys after; as many as before unless given.

    Raises:
        InputError: a negative width.
    """

    before: int
    after: int | None = None

    def __post_init__(self) -> None:
        if min(self.before, self.before if self.after is None else self.after) < 0:
            raise InputError(f"{self!r} has a negative width; expected 0 or more keys")

    def of_tile(self, tile: Tile) -> Float[Array, "batch heads rows"]:
        """The sum over the keys of the window that are in the tile."""
        before, after = self._widths(tile.layout)
        inside = (tile.distance >= -before) & (tile.distance <= after)
        return tile.xp.sum(tile.xp.where(inside, tile.weights, 0.0), axis=-1)

    def row_function(self, layout: AttentionLayout) -> RowFunction:
        """The sum over the keys of a row that are in its window."""
        from regard.attention.statistics import row_functions

        return RowFunction(row_functions.add_window, data=self._widths(layout))

    def _widths(self, layout: AttentionLayout) -> tuple[int, int]:
        """Keys before and after, of a matrix in which no two positions are further apart."""
        most = layout.queries + layout.keys
        after = self.before if self.after is None else self.after
        return min(self.before, most), min(after, most)


@dataclass(frozen=True, eq=False)
class WeightedValues(Statistic):
    """Average of vectors of the keys, weighted by attention: `weights @ values` for any array of yours.

    Values at keys that a query may not attend to, NaN included, have no effect on its answer.

    Args:
        values: `(..., keys, features)` of the map's library; with heads, as many as the map or a divisor.
            Gradients reach it.
    """

    values: Float[Array, "... keys features"]

    def check(self, layout: AttentionLayout) -> None:
        """Refuse values that do not fit.

        Raises:
            ShapeError: another length, batch or number of heads.
        """
        layout.align_operand(self.values, layout.keys)

    def of_tile(self, tile: Tile) -> Float[Array, "batch heads rows features"]:
        """The product of the tile and its part of the values."""
        xp = tile.xp
        values = tile.layout.align_operand(self.values, tile.layout.keys)[:, :, tile.columns]
        finite = xp.isfinite(values)
        product = grouped_matmul(tile.weights, xp.where(finite, values, 0.0))
        # 0 times NaN is NaN: what is not finite is put back where it has a weight.
        some = xp.astype(tile.weights != 0, tile.weights.dtype)
        seen = grouped_matmul(some, xp.astype(~finite, some.dtype)) > 0
        return xp.where(seen, math.nan, product)


@dataclass(frozen=True)
class WeightHistogram(Statistic):
    """Number of weights of each head in each of some bins; masked pairs are not counted.

    `k` edges make `k + 1` bins: below the first edge, from each edge up to the next, and from the last edge on,
    so that every weight is in one of them. Integers, without gradients.

    Args:
        edges: of the bins, rising.

    Raises:
        InputError: edges that do not rise.
    """

    edges: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    per: Per = "head"

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        if not self.edges or any(not a < b for a, b in pairwise(self.edges)):
            raise InputError(f"WeightHistogram got edges {self.edges}; expected rising numbers")

    def check(self, layout: AttentionLayout) -> None:
        """Refuse a matrix of more weights than the library's integers can count.

        Raises:
            InputError: JAX without 64 bits, and a matrix of 2 ** 31 weights or more.
        """
        xp = layout.xp
        if layout.queries * layout.keys > xp.iinfo(self._integers(layout)).max:
            raise InputError(
                f"a matrix of {layout.queries} x {layout.keys} weights cannot be counted in 32 bits; set "
                "jax_enable_x64"
            )

    def of_tile(self, tile: Tile) -> Int[Array, "batch heads bins"]:
        """Numbers of weights of the tile."""
        xp, integers = tile.xp, self._integers(tile.layout)
        reached = [tile.allowed] + [tile.allowed & (tile.weights >= edge) for edge in self.edges]
        counts = [xp.sum(xp.astype(marks, integers), axis=(2, 3)) for marks in reached]
        bins = [some - rest for some, rest in pairwise(counts)] + counts[-1:]
        return xp.stack(bins, axis=-1)

    def row_function(self, layout: AttentionLayout) -> RowFunction:
        """Numbers of weights of a row."""
        from regard.attention.statistics import row_functions

        edges = np.asarray(self.edges, np.float32)
        return RowFunction(row_functions.add_counts, size=len(edges) + 1, data=(edges,))

    def finish(self, partial: Array) -> Int[Array, "batch heads bins"]:
        """The numbers, integers also where compiled code counted them."""
        xp = namespace(partial=partial)
        return (
            xp.astype(partial, xp.int64) if xp.isdtype(partial.dtype, "real floating") else partial
        )

    def _integers(self, layout: AttentionLayout) -> Any:
        """The type of an index: 64 bits, in JAX unless set otherwise 32."""
        return layout.positions(slice(0, 0)).dtype
