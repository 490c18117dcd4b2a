"""Masks of real positions, for batches padded to one length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import is_array, is_on_host
from regard.attention.layout import AttentionLayout
from regard.attention.masks.base import IntervalMask, Intervals, Mask
from regard.errors import MaskError
from regard.shapes import Array, Bool

__all__ = ["padding"]


def padding(keys: Any, *, queries: Any = None) -> Mask:
    """Queries may attend to the real keys of each example, not to its padding.

    Args:
        keys: `(batch,)` integers, the number of real keys of each example (padding is at the end),
            or `(batch, keys)` Booleans, `True` for real keys.
        queries: `(batch,)` integers or `(batch, queries)` Booleans; padding queries then attend to
            nothing and give zeros. All queries are real unless given.

    Raises:
        MaskError: another type or shape.
    """
    mask = _mask_of_keys(keys)
    return mask if queries is None else mask & _RealQueries(_mask_of_keys(queries))


@dataclass(frozen=True, eq=False)
class _Lengths(IntervalMask):
    """The first `lengths` keys of each example."""

    lengths: Any

    @property
    def same_for_all_queries(self) -> bool:
        return True

    def check(self, layout: AttentionLayout) -> None:
        if self.lengths.shape[0] not in (1, layout.batch):
            raise MaskError(
                f"padding got {self.lengths.shape[0]} lengths for a batch of {layout.batch}; "
                "expected one for each example"
            )
        if not self.lengths.shape[0] or not is_on_host(self.lengths):
            return
        low, high = int(self.lengths.min()), int(self.lengths.max())
        if low < 0 or high > layout.keys:
            raise MaskError(
                f"padding got a length of {low if low < 0 else high} where there are {layout.keys} "
                f"positions; expected 0 to {layout.keys}"
            )

    def intervals(self, layout: AttentionLayout) -> Intervals:
        # Lengths on another device, or traced ones, have not been checked.
        high = layout.clip_to_keys(layout.asarray(self.lengths))[:, None, None]
        return high * 0, high


@dataclass(frozen=True, eq=False)
class _RealKeys(Mask):
    """The keys of each example that a `(batch, keys)` Boolean array marks."""

    real: Any

    @property
    def same_for_all_queries(self) -> bool:
        return True

    def check(self, layout: AttentionLayout) -> None:
        shape = tuple(self.real.shape)
        if shape[0] not in (1, layout.batch) or shape[1] != layout.keys:
            raise MaskError(f"padding got shape {shape}; expected ({layout.batch}, {layout.keys})")

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return layout.asarray(self.real)[:, None, None, columns]


@dataclass(frozen=True, eq=False)
class _RealQueries(IntervalMask):
    """All keys for real queries, none for the others.

    Attributes:
        real: a mask of keys, applied to the queries.
    """

    real: Mask

    def check(self, layout: AttentionLayout) -> None:
        self.real.check(self._queries_as_keys(layout))

    def intervals(self, layout: AttentionLayout) -> Intervals:
        as_keys = self._queries_as_keys(layout)
        real = self.real.tile(as_keys, slice(0, 1), slice(0, layout.queries))[..., 0, :]
        high = layout.xp.where(real, layout.keys, 0)
        return high * 0, high

    @staticmethod
    def _queries_as_keys(layout: AttentionLayout) -> AttentionLayout:
        return replace(layout, queries=1, keys=layout.queries)


def _mask_of_keys(keys: Any) -> Mask:
    """The mask of `(batch,)` lengths or `(batch, length)` Booleans."""
    array = keys if is_array(keys) else np.asarray(keys)
    if not is_array(keys) and array.size == 0:  # an empty batch
        array = array.astype(np.int64)
    xp = compat.array_namespace(array)
    if array.ndim == 1 and xp.isdtype(array.dtype, "integral"):
        return _Lengths(array)
    if array.ndim == 2 and array.dtype == xp.bool:
        return _RealKeys(array)
    raise MaskError(
        f"padding got {array.dtype} of shape {tuple(array.shape)}; expected lengths, (batch,) "
        "integers, or which positions are real, (batch, length) Booleans"
    )
