"""Where to look: masks that are never built as a whole matrix when they need not be.

`True` means "may attend", everywhere. A mask answers for any tile of the matrix, and, when it can,
gives for each query the half-open range of keys it may see: causal, window, padding and contiguous
documents are all such intervals, and so is any `&` of them, so a kernel needs just two integers a
row.

>>> mask = causal() & window(128) & padding(lengths)
>>> mask = padding(lengths) | anchors          # a Boolean array joins in with `&` and `|`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import accumulation_dtype, is_on_host, stop_gradient, to_numpy
from regard.attention.layout import AttentionLayout
from regard.errors import MaskError, ShapeError
from regard.shapes import Array, Bool, Int

__all__ = ["Intervals", "Mask", "causal", "documents", "local", "padding", "window"]

Intervals = tuple[Int[Array, "batch heads queries"], Int[Array, "batch heads queries"]]
"""For each query the first key it may see and the one after the last; each axis may be 1."""


class Mask(ABC):
    """What a query may attend to."""

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
        """Whether every query of an example sees the same keys; its tiles then have one row."""
        return False

    def check(self, layout: AttentionLayout) -> None:  # noqa: B027
        """Raises a `MaskError` if this mask cannot belong to a matrix of these sizes."""

    def __and__(self, other: Mask | Array) -> Mask:
        return _Both(self, as_mask(other))

    def __or__(self, other: Mask | Array) -> Mask:
        return _Either(self, as_mask(other))

    __rand__ = __and__
    __ror__ = __or__
    __array_ufunc__ = None  # `array & mask` asks the mask, not NumPy element by element


class IntervalMask(Mask):
    """A mask in which each query sees one range of keys."""

    @abstractmethod
    def intervals(self, layout: AttentionLayout) -> Intervals:
        """The range of keys of each query."""

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        """The ranges compared with the columns."""
        low, high = self.intervals(layout)
        place = layout.places(columns)
        low, high = (end if end.shape[2] == 1 else end[:, :, rows] for end in (low, high))
        return (place >= low[..., None]) & (place < high[..., None])


def causal() -> Mask:
    """No query sees a key after its own place; the last query sits at the last key.

    So a query of a cached decoder, alone with all keys so far, sees them all.
    """
    return _Band(before=None, after=0)


def window(before: int, after: int | None = None) -> Mask:
    """A query sees `before` keys before its own place, its own, and `after` keys after it.

    Args:
        before: how far back, in keys (Longformer, Beltagy 2020, has a window of `2 * before + 1`).
        after: how far ahead; as far as back when not given. `window(n, 0)` is a causal window.

    Raises:
        MaskError: if a width is negative.
    """
    after = before if after is None else after
    for width in (before, after):
        if width < 0:
            raise MaskError(f"window got a width of {width}; expected 0 or more keys")
    return _Band(before, after)


def padding(keys: Any, *, queries: Any = None) -> Mask:
    """Only the real keys of each example can be seen.

    Args:
        keys: `(batch,)` integers, how many keys of each example are real (the rest is padding at
            the end), or `(batch, keys)` Booleans that say which.
        queries: likewise for the queries; padding queries then attend to nothing and give zeros.

    Raises:
        MaskError: for any other type or shape.
    """
    mask = _per_key(keys)
    return mask if queries is None else mask & _Rows(_per_key(queries))


def documents(queries: Any, keys: Any = None) -> Mask:
    """Sequences packed into one row see only themselves.

    Args:
        queries: `(length,)` or `(batch, length)` integers, the document each position belongs to.
        keys: likewise for the keys, when they are not the same positions.
    """
    query_ids = _document_ids(queries)
    key_ids = query_ids if keys is None else _document_ids(keys)
    return _Documents(query_ids, key_ids, _key_ranges(query_ids, key_ids))


def local(centres: Array, width: int) -> Mask:
    """A window around a place of its own for each query (local attention, Luong 2015).

    With `centres = t` this is local-m; local-p predicts the centres and adds `positions.Gaussian`.

    Args:
        centres: `(..., queries)` key positions, whole or not.
        width: `D`; keys in `[centre - D, centre + D]` are seen.
    """
    if width < 0:
        raise MaskError(f"local got a width of {width}; expected 0 or more keys")
    return _Local(centres, width)


def as_mask(mask: Any) -> Mask:
    """A mask object, from one or from a Boolean array.

    Raises:
        MaskError: for anything else; a float array is told to be passed as `bias=`.
    """
    if isinstance(mask, Mask):
        return mask
    if not compat.is_array_api_obj(mask):
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
    return _Array(mask)


def is_causal(mask: Mask) -> bool:
    """Whether this is `causal()` and nothing else, which kernels know by name."""
    return mask == _Band(before=None, after=0)


@dataclass(frozen=True)
class _Band(IntervalMask):
    """Keys from `before` behind to `after` ahead of the query's place."""

    before: int | None
    after: int

    def intervals(self, layout: AttentionLayout) -> Intervals:
        place = layout.places(slice(0, layout.queries))[None, None] + layout.offset
        low = place * 0 if self.before is None else place - self.before
        return layout.clip(low), layout.clip(place + self.after + 1)


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
        # Clipped for lengths that could not be looked at.
        high = layout.clip(layout.asarray(self.lengths))[:, None, None]
        return high * 0, high


@dataclass(frozen=True, eq=False)
class _KeyArray(Mask):
    """The keys of each example that a `(batch, keys)` Boolean array names."""

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
class _Rows(IntervalMask):
    """Everything for the queries that `which`, a mask over positions, calls real; else nothing."""

    which: Mask

    def check(self, layout: AttentionLayout) -> None:
        self.which.check(self._turned(layout))

    def intervals(self, layout: AttentionLayout) -> Intervals:
        turned = self._turned(layout)
        real = self.which.tile(turned, slice(0, 1), slice(0, layout.queries))[..., 0, :]
        high = layout.xp.where(real, layout.keys, 0)
        return high * 0, high

    @staticmethod
    def _turned(layout: AttentionLayout) -> AttentionLayout:
        return AttentionLayout(
            layout.batch,
            layout.heads,
            1,
            layout.queries,
            layout.rank,
            layout.xp,
            layout.device,
            layout.dtype,
        )


@dataclass(frozen=True, eq=False)
class _Array(Mask):
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
        array = layout.align(self.array, "mask")
        if array.shape[2] != 1:
            array = array[:, :, rows]
        return array if array.shape[3] == 1 else array[..., columns]


@dataclass(frozen=True, eq=False)
class _Documents(Mask):
    """Positions that carry the same number see each other; ranges where documents are unbroken."""

    queries: np.ndarray
    keys: np.ndarray
    ranges: tuple[Any, Any] | None

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
        full = (*layout.lead, layout.queries)
        if len(shape) > len(full) or any(
            n not in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False)
        ):
            raise MaskError(f"local got centres of shape {shape}; expected {full}")

    def intervals(self, layout: AttentionLayout) -> Intervals:
        xp = layout.xp
        centres = per_query(layout, stop_gradient(self.centres))
        # bfloat16 does not hold the places beyond 256, nor unsigned integers those below 0.
        centres = xp.astype(centres, accumulation_dtype(xp, centres), copy=False)
        low, high = xp.ceil(centres - self.width), xp.floor(centres + self.width) + 1
        whole = layout.places(slice(0, 0)).dtype
        return xp.astype(layout.clip(low), whole), xp.astype(layout.clip(high), whole)


@dataclass(frozen=True, eq=False)
class _Two(Mask):
    """What follows from two masks, place by place."""

    first: Mask
    second: Mask

    @property
    def same_for_all_queries(self) -> bool:
        return self.first.same_for_all_queries and self.second.same_for_all_queries

    def check(self, layout: AttentionLayout) -> None:
        self.first.check(layout)
        self.second.check(layout)


@dataclass(frozen=True, eq=False)
class _Both(_Two):
    """What both masks allow."""

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
class _Either(_Two):
    """What either mask allows."""

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return self.first.tile(layout, rows, columns) | self.second.tile(layout, rows, columns)


def per_query(layout: AttentionLayout, values: Array) -> Array:
    """A user's `(..., queries)` values as `(batch, heads, queries)`, axes of 1 left so."""
    values = layout.asarray(values)
    if layout.rank == 3 and values.ndim == 2:
        values = values[:, None]
    return layout.xp.reshape(values, (1,) * (3 - values.ndim) + tuple(values.shape))


def _per_key(which: Any) -> Mask:
    """The mask of `(batch,)` lengths or `(batch, length)` Booleans."""
    array = which if compat.is_array_api_obj(which) else np.asarray(which)
    xp = compat.array_namespace(array)
    if array.ndim == 1 and xp.isdtype(array.dtype, "integral"):
        return _Lengths(array)
    if array.ndim == 2 and array.dtype == xp.bool:
        return _KeyArray(array)
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


def _key_ranges(queries: Any, keys: Any) -> tuple[Any, Any] | None:
    """For each query the range of keys of its document, or `None` if a document is broken."""
    batch = max(queries.shape[0], keys.shape[0])
    low = np.zeros((batch, queries.shape[1]), np.int64)
    high = np.zeros_like(low)
    for example in range(batch):
        asked, row = queries[example % len(queries)], keys[example % len(keys)]
        known, first, count = np.unique(row, return_index=True, return_counts=True)
        last = len(row) - np.unique(row[::-1], return_index=True)[1]
        if np.any(last - first != count):
            return None
        place = np.minimum(np.searchsorted(known, asked), max(0, len(known) - 1))
        if len(known):
            found = known[place] == asked
            low[example], high[example] = first[place] * found, last[place] * found
    return low, high
