"""The full matrix that is never made: its sizes, and the library its tiles are made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import is_torch, to_numpy
from regard.errors import ShapeError
from regard.shapes import Array, Int

__all__ = ["AttentionLayout"]


@dataclass(frozen=True)
class AttentionLayout:
    """Where a mask, a bias or a statistic is asked about.

    Inside this room everything has four axes, `(batch, heads, length, features)`; `rank` remembers
    how many the user's arrays had, so that answers come back with as many.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    rank: int
    xp: Any
    device: Any
    dtype: Any
    """What weights and statistics are computed in: float32 or float64."""

    @property
    def offset(self) -> int:
        """The key position of the first query: the last query sits at the last key."""
        return self.keys - self.queries

    @property
    def shape(self) -> tuple[int, ...]:
        """The matrix's shape as the user sees it."""
        return (*self.lead, self.queries, self.keys)

    @property
    def lead(self) -> tuple[int, ...]:
        """The user's axes before length."""
        return (self.batch, self.heads)[: max(0, self.rank - 2)]

    def places(self, span: slice) -> Int[Array, " span"]:
        """The integers of `span`, on the arrays' device."""
        return self.xp.arange(span.start, span.stop, device=self.device)

    def clip(self, places: Array) -> Array:
        """Places of keys, none below 0 nor beyond the end."""
        if is_torch(
            places
        ):  # the standard's clip asks whether its bounds are NaN, which no graph can
            return places.clamp(0, self.keys)
        return self.xp.clip(places, 0, self.keys)

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """`values`, of whatever library, as an array of this one on this device."""
        if isinstance(values, np.ndarray):  # first, as torch cannot trace the questions below
            return self.xp.asarray(values, dtype=dtype, device=self.device)
        if not compat.is_array_api_obj(values) or compat.array_namespace(values) is not self.xp:
            return self.xp.asarray(to_numpy(values), dtype=dtype, device=self.device)
        # Not asarray, which in torch can cut the gradient.
        values = values if dtype is None else self.xp.astype(values, dtype, copy=False)
        return values if self.device is None else compat.to_device(values, self.device)

    def align(self, array: Array, name: str) -> Array:
        """A user's `(..., queries, keys)` array with four axes, checked against the matrix.

        Raises:
            ShapeError: if it does not broadcast to the matrix.
        """
        array, given = self.asarray(array), tuple(array.shape)
        if self.rank == 3 and array.ndim == 3:
            array = array[:, None]
        shape = (1,) * (4 - array.ndim) + tuple(array.shape)
        full = (self.batch, self.heads, self.queries, self.keys)
        if array.ndim > 4 or any(n != 1 and n != m for n, m in zip(shape, full, strict=True)):
            raise ShapeError(
                f"{name} has shape {given}; expected one that broadcasts to {self.shape}"
                + self._hint(given)
            )
        return self.xp.reshape(array, shape)

    def _hint(self, given: tuple[int, ...]) -> str:
        if given == (self.batch, self.keys):
            return " (to say which keys of each example are real, use regard.padding(...))"
        if self.rank == 4 and given == (self.batch, self.queries, self.keys):
            return " (insert an axis for the heads: array[:, None])"
        return ""

    def restore(self, array: Array) -> Array:
        """A `(batch, heads, ...)` answer with the user's leading axes."""
        return self.xp.reshape(array, (*self.lead, *array.shape[2:]))
