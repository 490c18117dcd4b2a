"""Masks: which keys each query may attend to. `True` means "may attend", everywhere.

A mask is not built as a whole matrix when that can be avoided. It answers for any tile of the matrix;
and where the keys a query may attend to are one range, it gives the ends of that range. Causal, window,
padding and contiguous document masks are such intervals, and so is any `&` of them, so a kernel needs
just two integers per row.

>>> import numpy as np
>>> from regard.attention.masks import causal, padding, window
>>> lengths, anchors = np.array([5, 3]), np.eye(5, dtype=bool)
>>> mask = causal() & window(128) & padding(lengths)
>>> mask = padding(lengths) | anchors  # a Boolean array joins in with `&` and `|`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import (
    accumulation_dtype,
    is_array,
    is_on_host,
    stop_gradient,
    to_numpy,
)
from regard.attention.layout import AttentionLayout
from regard.errors import MaskError, ShapeError
from regard.shapes import Array, Bool, Int

__all__ = [
    "IntervalMask",
    "Intervals",
    "Mask",
    "as_mask",
    "causal",
    "documents",
    "is_causal",
    "local",
    "padding",
    "window",
]

Intervals: TypeAlias = tuple[Int[Array, "batch heads queries"], Int[Array, "batch heads queries"]]
"""For each query the first key it may attend to and the one after the last; each axis may be 1."""


class Mask(ABC):
    """Base of masks. A subclass defines `tile`, and `intervals` if it can; combine with `&`, `|`."""

    @abstractmethod
    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        """The mask of some query rows and key columns; leading axes may be 1."""

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        """The range of keys of each query, or `None` if a query's keys are not one range."""
        return None

    @property
    def same_for_all_queries(self) -> bool:
        """Whether every query of an example may attend to the same keys; tiles then have one row."""
        return False

    def check(self, layout: AttentionLayout) -> None:  # noqa: B027
        """Raise a `MaskError` if this mask does not fit a matrix of this layout."""

    def __and__(self, other: Mask | Array) -> Mask:
        return _And(self, as_mask(other))

    def __or__(self, other: Mask | Array) -> Mask:
        return _Or(self, as_mask(other))

    __rand__ = __and__
    __ror__ = __or__
    __array_ufunc__ = None  # `array & mask` calls `__rand__`, not NumPy element by element


class IntervalMask(Mask):
    """Base of masks in which each query may attend to one range of keys."""

    @abstractmethod
    def intervals(self, layout: AttentionLayout) -> Intervals:
        """The range of keys of each query."""

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        """The columns compared with the ranges."""
        low, high = self.intervals(layout)
        position = layout.positions(columns)
        low, high = (end if end.shape[2] == 1 else end[:, :, rows] for end in (low, high))
        return (position >= low[..., None]) & (position < high[..., None])


def causal() -> Mask:
    """Each query may attend to keys up to its own position; the last query sits at the last key.

    So a single query of a cached decoder may attend to all keys so far.
    """
    return _Band(before=None, after=0)


def window(before: int, after: int | None = None) -> Mask:
    """Each query may attend to its own position and a number of keys before and after it.

    Args:
        before: keys before (a Longformer window, Beltagy et al. 2020, has `2 * before + 1` keys).
        after: keys after; as many as before unless given. `window(n, 0)` is a causal window.

    Raises:
        MaskError: a negative width.
    """
    after = before if after is None else after
    for width in (before, after):
        if width < 0:
            raise MaskError(f"window got a width of {width}; expected 0 or more keys")
    return _Band(before, after)


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


def documents(queries: Any, keys: Any = None) -> Mask:
    """Queries may attend to keys of their own document, for sequences packed into one row.

    Args:
        queries: `(length,)` or `(batch, length)` integers, the document of each position.
        keys: `(length,)` or `(batch, length)` integers; the queries' unless given.

    Raises:
        MaskError: another type or shape.
    """
    query_ids = _document_ids(queries)
    key_ids = query_ids if keys is None else _document_ids(keys)
    return _Documents(query_ids, key_ids, _document_ranges(query_ids, key_ids))


def local(centres: Array, width: int) -> Mask:
    """Each query may attend to keys around its own centre (local attention, Luong et al. 2015).

    With `centres = t` this is local-m; local-p predicts the centres and adds `positions.Gaussian`.

    Args:
        centres: `(..., queries)` key positions; need not be integers.
        width: `D`; keys in `[centre - D, centre + D]` are allowed.

    Raises:
        MaskError: a negative width.
    """
    if width < 0:
        raise MaskError(f"local got a width of {width}; expected 0 or more keys")
    return _Local(centres, width)


def as_mask(mask: Any) -> Mask:
    """A mask object, from a mask object or a Boolean array.

    Raises:
        MaskError: anything else; for a float array the message says to pass it as `bias=`.
    """
    if isinstance(mask, Mask):
        return mask
    if not is_array(mask):
        raise MaskError(
            f"mask is a {type(mask).__name__}; expected a Boolean array (True = may attend) or a "
            "mask such as regard.causal()"
        )
    xp = compat.array_namespace(mask)
    if mask.dtype != xp.bool:
        remedy = (
            "pass an additive mask as bias="
            if xp.isdtype(mask.dtype, "real floating")
            else "compare it first, as in mask == 1"
        )
        raise MaskError(f"mask holds {mask.dtype}; expected Booleans, True = may attend ({remedy})")
    if mask.ndim < 2:
        raise MaskError(f"mask has shape {tuple(mask.shape)}; expected (..., queries, keys)")
    return _ArrayMask(mask)


def is_causal(mask: Mask) -> bool:
    """Whether a mask is `causal()` and nothing else, for kernels that have a flag for it."""
    return mask == _Band(before=None, after=0)


@dataclass(frozen=True)
class _Band(IntervalMask):
    """Keys from `before` behind (`None`: all) to `after` ahead of the query's position."""

    before: int | None
    after: int

    def intervals(self, layout: AttentionLayout) -> Intervals:
        position = layout.positions(slice(0, layout.queries))[None, None] + layout.offset
        low = position * 0 if self.before is None else position - self.before
        return layout.clip_to_keys(low), layout.clip_to_keys(position + self.after + 1)


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


@dataclass(frozen=True, eq=False)
class _ArrayMask(Mask):
    """A Boolean array that broadcasts to the matrix."""

    array: Any

    @property
    def same_for_all_queries(self) -> bool:
        return bool(self.array.shape[-2] == 1)

    def check(self, layout: AttentionLayout) -> None:
        try:
            layout.align(self.array, "mask")
        except ShapeError as error:
            raise MaskError(str(error)) from None

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return layout.tile_of(layout.align(self.array, "mask"), rows, columns)


@dataclass(frozen=True, eq=False)
class _Documents(Mask):
    """Positions of one document may attend to each other.

    Attributes:
        queries: `(batch or 1, queries)`, the document of each query.
        keys: `(batch or 1, keys)`, the document of each key.
        ranges: first key and end for each query, or `None` if a document is in several pieces.
    """

    queries: np.ndarray
    keys: np.ndarray
    ranges: tuple[np.ndarray, np.ndarray] | None

    def check(self, layout: AttentionLayout) -> None:
        for name, ids, length in (
            ("queries", self.queries, layout.queries),
            ("keys", self.keys, layout.keys),
        ):
            if ids.shape[0] not in (1, layout.batch) or ids.shape[1] != length:
                raise MaskError(
                    f"documents got {name} of shape {ids.shape}; expected ({layout.batch}, {length})"
                )

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        same = self.queries[:, None, rows, None] == self.keys[:, None, None, columns]
        return layout.asarray(same)

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        if self.ranges is None:
            return None
        low, high = self.ranges
        return layout.asarray(low)[:, None], layout.asarray(high)[:, None]


@dataclass(frozen=True, eq=False)
class _Local(IntervalMask):
    """Keys within `width` of each query's own centre."""

    centres: Any
    width: int

    def check(self, layout: AttentionLayout) -> None:
        shape = tuple(self.centres.shape)
        full = (*layout.leading_shape, layout.queries)
        if len(shape) > len(full) or any(
            n not in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False)
        ):
            raise MaskError(f"local got centres of shape {shape}; expected {full}")

    def intervals(self, layout: AttentionLayout) -> Intervals:
        xp = layout.xp
        centres = layout.align_per_query(stop_gradient(self.centres))
        # bfloat16 has no integers beyond 256, unsigned integers have none below 0.
        centres = xp.astype(centres, accumulation_dtype(xp, centres), copy=False)
        low, high = xp.ceil(centres - self.width), xp.floor(centres + self.width) + 1
        integer = layout.positions(slice(0, 0)).dtype
        low, high = (xp.astype(layout.clip_to_keys(end), integer) for end in (low, high))
        return low, high


@dataclass(frozen=True, eq=False)
class _Combined(Mask):
    """Base of two masks combined element by element."""

    first: Mask
    second: Mask

    @property
    def same_for_all_queries(self) -> bool:
        return self.first.same_for_all_queries and self.second.same_for_all_queries

    def check(self, layout: AttentionLayout) -> None:
        self.first.check(layout)
        self.second.check(layout)


@dataclass(frozen=True, eq=False)
class _And(_Combined):
    """Pairs that both masks allow."""

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return self.first.tile(layout, rows, columns) & self.second.tile(layout, rows, columns)

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        first, second = self.first.intervals(layout), self.second.intervals(layout)
        if first is None or second is None:
            return None
        xp = layout.xp
        return xp.maximum(first[0], second[0]), xp.minimum(first[1], second[1])


@dataclass(frozen=True, eq=False)
class _Or(_Combined):
    """Pairs that either mask allows; a query's keys may then be several ranges."""

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return self.first.tile(layout, rows, columns) | self.second.tile(layout, rows, columns)


def _mask_of_keys(keys: Any) -> Mask:
    """The mask of `(batch,)` lengths or `(batch, length)` Booleans."""
    array = keys if is_array(keys) else np.asarray(keys)
    xp = compat.array_namespace(array)
    if array.ndim == 1 and xp.isdtype(array.dtype, "integral"):
        return _Lengths(array)
    if array.ndim == 2 and array.dtype == xp.bool:
        return _RealKeys(array)
    raise MaskError(
        f"padding got {array.dtype} of shape {tuple(array.shape)}; expected lengths, (batch,) "
        "integers, or which positions are real, (batch, length) Booleans"
    )


def _document_ids(ids: Any) -> np.ndarray:
    array = to_numpy(ids)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise MaskError(
            f"documents got {array.dtype} of shape {array.shape}; expected (batch, length) integers"
        )
    return array if array.ndim == 2 else array[None]


def _document_ranges(queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The range of keys of each query's document, or `None` if a document is in several pieces.

    Args:
        queries: `(batch or 1, queries)` documents.
        keys: `(batch or 1, keys)` documents.

    Returns:
        First key and end, `(batch or 1, queries)` each; 0 and 0 for a document without keys.
    """
    batch = max(queries.shape[0], keys.shape[0])
    low = np.zeros((batch, queries.shape[1]), np.int64)
    high = np.zeros_like(low)
    for example in range(batch):
        of_query, of_key = queries[example % len(queries)], keys[example % len(keys)]
        ids, first, count = np.unique(of_key, return_index=True, return_counts=True)
        end = len(of_key) - np.unique(of_key[::-1], return_index=True)[1]
        if np.any(end - first != count):  # a stranger between first and last
            return None
        index = np.minimum(np.searchsorted(ids, of_query), max(0, len(ids) - 1))
        if len(ids):
            found = ids[index] == of_query
            low[example], high[example] = first[index] * found, end[index] * found
    return low, high
