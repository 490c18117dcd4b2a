"""`RowFunction`: a statistic as a function of one row of the matrix, which Numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from regard.shapes import Array

__all__ = ["Row", "RowFunction"]


class Row(NamedTuple):
    """One row of an attention matrix, as compiled code reads it: the keys that its query may be able to see."""

    weights: Any
    """(keys,) float32, before dropout; 0 where masked."""
    scores: Any
    """(keys,) float32, as the normaliser is given them: with bias, -inf where masked."""
    lse: Any
    """float64: the log-sum-exp of the scores, a sink included, so that a weight is `exp(score - lse)`."""
    batch: Any
    """int64: the example."""
    head: Any
    """int64."""
    query: Any
    """int64: position of the query."""
    key: Any
    """int64: position of the first of the keys. Those before it and after the last are masked."""
    distance: Any
    """int64: position of the first key minus that of the query, whose last one sits at the last key."""


@dataclass(frozen=True, eq=False)
class RowFunction:
    """A function that adds what a statistic takes from one row to a partial result.

    Attributes:
        function: `function(row, partial, *data)` of the kind that Numba compiles (`numba.njit`): it reads
            a `Row` and changes `partial`, float64, in place: `(size,)`, or `(keys of the row, size)` for
            `per = "key"`. It is called once for each query, in no order. What is in `partial` after all
            rows is what `merge` would have made of the partial results of tiles.
        size: numbers of a partial result, its last axis; `None` for one number and no such axis. The function
            is given an axis of 1 then.
        start: every number of a partial result before the first row.
        data: arrays and numbers that the function takes.
    """

    function: Callable[..., None]
    size: int | None = None
    start: float = 0.0
    data: tuple[Array | float, ...] = ()
