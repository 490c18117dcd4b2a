"""`Statistic`, the protocol of a statistic that is computed tile by tile, and the `Tile` it is given.

A statistic is three steps, those of a distributed aggregation (reduce, merge and finish of Spark's
`Aggregator`): what to take from one tile of the matrix, how two such partial results become one, and what
the answer is once all have been merged. Who computes it decides how the matrix is cut and in which order
partial results are merged, so that one definition serves a few rows at a time, long rows in parts, and
maps that lie on several machines.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from regard.attention.layout import AttentionLayout
from regard.attention.row_function import RowFunction
from regard.errors import InputError
from regard.shapes import Array, Bool, Float, Int

__all__ = ["Partial", "Per", "Statistic", "Tile", "arrays_of"]

Partial: TypeAlias = Any
"""A partial result: an array, or a tuple of arrays, each with the axes `(batch, heads)` in front."""

Per: TypeAlias = Literal["query", "key", "head"]
"""What a statistic has one answer for: each query, each key, or each head."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Part of an attention matrix: some queries and some keys, of all examples and heads.

    Attributes:
        layout: sizes, library (`layout.xp`, an array API namespace) and device of the whole matrix.
        rows: the queries.
        columns: the keys.
        weights: before dropout; 0 where masked.
        given_scores: see `scores`; `None` in a map of a matrix.
    """

    layout: AttentionLayout
    rows: slice
    columns: slice
    weights: Float[Array, "batch heads rows columns"]
    given_scores: Float[Array, "batch heads rows columns"] | None = None

    @property
    def xp(self) -> Any:
        """Array API namespace of the arrays' library."""
        return self.layout.xp

    @property
    def scores(self) -> Float[Array, "batch heads rows columns"]:
        """Scores as the normaliser is given them: with bias, -inf where masked.

        Raises:
            InputError: a map of a matrix, which holds weights alone.
        """
        if self.given_scores is None:
            raise InputError(
                "this statistic is of scores, and the map is one of a matrix, which holds weights alone; ask "
                "the map that attend returned"
            )
        return self.given_scores

    @property
    def allowed(self) -> Bool[Array, "batch heads rows columns"]:
        """Pairs that may attend; in a map of a matrix, those that have a weight."""
        if self.given_scores is None:
            return self.weights != 0
        return self.given_scores != -math.inf

    @property
    def queries(self) -> Int[Array, " rows"]:
        """Index of each query in the whole matrix."""
        return self.layout.positions(self.rows)

    @property
    def keys(self) -> Int[Array, " columns"]:
        """Index of each key in the whole matrix."""
        return self.layout.positions(self.columns)

    @property
    def distance(self) -> Int[Array, "rows columns"]:
        """Position of the key minus that of the query, whose last one sits at the last key (as in `window`)."""
        return self.keys - (self.queries + self.layout.offset)[:, None]


class Statistic(ABC):
    """Base of statistics that are computed tile by tile, the full matrix never being made.

    A subclass defines `of_tile`, `merge` unless partial results are added, and `finish` unless the merged
    result is the answer. Computation is in the library of the arrays, so that one definition by the array
    API (`tile.xp`) serves NumPy, torch and JAX, and gradients flow wherever its operations let them.

    Three laws, which `regard.check(statistic=...)` tries:

    * `merge` is associative and commutative up to rounding, and the answer does not depend on how the
      matrix was cut;
    * what is masked adds nothing: merging the partial result of a tile of masked pairs changes nothing;
    * a partial result is small: its size does not grow with the keys of the tile (`per = "query"`) or its
      queries (`per = "key"`).

    An object should not change once it is used; a frozen dataclass cannot.

    Attributes:
        per: `"query"`, `"key"` or `"head"`: what there is one answer for. Axis 2 of every array of a partial
            result is the queries of the tile, or its keys; of a head it is free. Partial results of
            the same queries (keys) are merged, those of others are put side by side.

    >>> import numpy as np
    >>> import regard
    >>> class Confidence(regard.statistics.Statistic):  # the largest weight of each query
    ...     def of_tile(self, tile):
    ...         return tile.xp.max(tile.weights, axis=-1)
    ...     def merge(self, first, second):
    ...         return np.maximum(first, second)
    >>> weights = regard.AttentionMap.from_dense(np.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> weights.statistic(Confidence()).tolist()
    [0.5, 1.0]
    """

    per: Per = "query"

    def check(self, layout: AttentionLayout) -> None:  # noqa: B027, most statistics fit every matrix
        """Refuse a matrix that the statistic does not fit, before anything is computed.

        Args:
            layout: of the matrix.

        Raises:
            ShapeError: an array of the statistic that does not fit.
        """

    @abstractmethod
    def of_tile(self, tile: Tile) -> Partial:
        """Partial result of one tile: an array or a tuple of arrays.

        Args:
            tile: some queries and some keys, of all examples and heads.

        Returns:
            Arrays `(batch, heads, rows, ...)` for `per = "query"`, `(batch, heads, columns, ...)` for `"key"`,
            `(batch, heads, ...)` for `"head"`.
        """

    def row_function(self, layout: AttentionLayout) -> RowFunction | None:
        """The statistic as a function of one row, compiled by Numba; `None`, the default, for none.

        `of_tile` says what is right and serves every library, gradients and short inputs; this method is for
        large matrices (`limits.ROW_PASS_MIN_WEIGHTS`) in float32 or bfloat16, under softmax, on a processor.
        A subclass that changes `of_tile` or `merge` and not this method is computed by what it changed. Where
        Numba cannot compile the function, a warning says so and `of_tile` answers.

        Args:
            layout: of the matrix.
        """
        return None

    def merge(self, first: Partial, second: Partial) -> Partial:
        """One partial result of two; their sum unless overridden, array by array."""
        if isinstance(first, tuple):
            return tuple(one + other for one, other in zip(first, second, strict=True))
        return first + second

    def finish(self, partial: Partial) -> Partial:
        """The answer from what was merged; the merged result itself unless overridden.

        Args:
            partial: of all tiles, arrays `(batch, heads, ...)`.

        Returns:
            An array, or a tuple of arrays, with the axes `(batch, heads)` in front.
        """
        return partial


def arrays_of(partial: Partial) -> tuple[Array, ...]:
    """The arrays of a partial result."""
    return partial if isinstance(partial, tuple) else (partial,)
