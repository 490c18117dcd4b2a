"""Base of masks, what combines them, and masks of arrays and of functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import device_of, is_array, to_numpy
from regard.attention.layout import AttentionLayout
from regard.attention.overrides import library_class, runs
from regard.errors import MaskError, ShapeError
from regard.shapes import Array, Bool, Int

__all__ = [
    "IntervalMask",
    "Intervals",
    "Mask",
    "as_mask",
    "key_ranges",
    "mask_tile",
    "tile_for_all_queries",
    "where",
]

Intervals: TypeAlias = tuple[Int[Array, "batch heads queries"], Int[Array, "batch heads queries"]]
"""For each query the first key it may attend to and the one after the last; each axis may be 1."""

MaskFunction: TypeAlias = Callable[[Any, Any, Any, Any], Any]
"""From arrays of example, head, query and key, which broadcast to each other, to Booleans."""


class Mask(ABC):
    """Base of masks. A subclass defines `tile`; combine with `&`, `|`, `~`.

    A mask of your own in which each query may attend to one range of keys is faster as a subclass of
    `IntervalMask`, which defines `intervals` and no `tile`: where a class defines both, its `tile`
    decides and its ranges are not used.
    """

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

    def __invert__(self) -> Mask:
        return _Not(self)

    def __bool__(self) -> NoReturn:
        # Python's `and` and `or` would return one of two masks, and the other would be lost.
        raise MaskError(
            "a mask is neither true nor false: combine masks by & and |, not by `and` and `or`; invert "
            "one by ~, not by `not`; to ask whether there is a mask, compare it with None"
        )

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


def where(allowed: MaskFunction) -> Mask:
    """A mask by a function of the positions, as FlexAttention's `mask_mod`.

    Args:
        allowed: `allowed(b, h, i, j)`, whether query `i` of head `h` in example `b` may attend to key `j`.
            The four are integer arrays that broadcast to each other, and all count from 0: the last
            query sits at the last key only where there are as many queries as keys. It returns Booleans
            of the shape they broadcast to, or with axes of 1 where it does not depend on them.

    Raises:
        MaskError: something that cannot be called; when the mask is used, a function that returns no
            Booleans or another shape.

    >>> import numpy as np
    >>> import regard
    >>> strided = regard.masks.where(lambda b, h, i, j: (i - j) % 2 == 0)
    >>> x = np.zeros((3, 4))
    >>> (regard.attend(x, x, x, mask=strided)[1].dense() > 0).astype(int).tolist()
    [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    """
    if not callable(allowed):
        raise MaskError(
            f"where got a {type(allowed).__name__}; expected a function of (b, h, i, j), such as "
            "lambda b, h, i, j: i >= j"
        )
    return _FunctionMask(allowed)


def as_mask(mask: Any) -> Mask:
    """A mask object, from a mask object, a Boolean array or FlexAttention's `BlockMask`.

    Raises:
        MaskError: anything else; for a float array the message says to pass it as `bias=`.
    """
    if isinstance(mask, Mask):
        return mask
    if type(mask).__name__ == "BlockMask":  # so that torch need not be imported
        return _block_mask(mask)
    if not is_array(mask):
        remedy = ""
        if callable(mask):
            remedy = (
                " (call it, as in regard.causal(), or pass a function of positions to masks.where)"
            )
        elif isinstance(mask, list | tuple):
            remedy = " (several masks are combined by & or |)"
        elif hasattr(mask, "tile"):
            remedy = " (it is a bias: pass it as bias=)"
        raise MaskError(
            f"mask is a {type(mask).__name__}; expected a Boolean array (True = may attend) or a "
            f"mask such as regard.causal(){remedy}"
        )
    if type(mask).__name__ == "CausalBias":
        raise MaskError(
            "mask is a CausalBias of torch; expected regard.causal() for causal_lower_right, or "
            'regard.causal(align="upper left") for causal_upper_left'
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
        remedy = " (mask[None] is one of keys, for every query)" if mask.ndim else ""
        raise MaskError(
            f"mask has shape {tuple(mask.shape)}; expected (..., queries, keys){remedy}"
        )
    return _ArrayMask(mask)


def key_ranges(mask: Mask, layout: AttentionLayout) -> Intervals | None:
    """`mask.intervals(layout)` where `mask.tile` is known to say the same, else `None`.

    `tile` is what a mask means. Ranges agree with it where it is made from them (`IntervalMask`), and
    where both methods are the library's; a subclass may have replaced one and not the other.
    """
    if runs(mask, "tile", IntervalMask.tile):
        return mask.intervals(layout)
    library: Any = library_class(mask)
    agree = runs(mask, "tile", library.tile) and runs(mask, "intervals", library.intervals)
    return mask.intervals(layout) if agree else None


def tile_for_all_queries(mask: Mask, layout: AttentionLayout) -> Bool[Array, "b h 1 keys"] | None:
    """The one row of a mask under which all queries may attend to the same keys; `None` for others."""
    if not mask.same_for_all_queries:
        return None
    tile = mask_tile(mask, layout, slice(0, layout.queries), slice(0, layout.keys))
    return tile if tile.shape[2] == 1 else None


def mask_tile(
    mask: Mask, layout: AttentionLayout, rows: slice, columns: slice
) -> Bool[Array, "batch heads rows columns"]:
    """`mask.tile(...)`, with four axes in the library of the layout.

    Raises:
        MaskError: a tile of another type or shape than the rows and columns.
    """
    tile = mask.tile(layout, rows, columns)
    if not is_array(tile) or compat.array_namespace(tile) is not layout.xp:
        tile = layout.asarray(tile)
    if tile.dtype != layout.xp.bool:
        raise MaskError(
            f"{type(mask).__name__}.tile returned {tile.dtype}; expected Booleans, True = may attend"
        )
    try:
        return layout.as_tile(tile, rows, columns)
    except ShapeError as error:
        raise MaskError(f"{type(mask).__name__}.tile {error}") from None


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
class _FunctionMask(Mask):
    """Pairs that a function of example, head, query and key allows."""

    allowed: MaskFunction

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        allowed = _call(self.allowed, layout.xp, layout.device, layout, rows, columns)
        return layout.asarray(allowed)


def _call(
    function: MaskFunction,
    xp: Any,
    device: Any,
    layout: AttentionLayout,
    rows: slice,
    columns: slice,
) -> Bool[Array, "batch heads rows columns"]:
    """What a function of the positions says of a tile, with four axes."""
    spans = slice(0, layout.batch), slice(0, layout.heads), rows, columns
    full = tuple(span.stop - span.start for span in spans)
    positions = [
        xp.reshape(
            xp.arange(span.start, span.stop, device=device),
            (1,) * axis + (-1 if span.stop > span.start else 0,) + (1,) * (3 - axis),
        )
        for axis, span in enumerate(spans)
    ]
    found = function(*positions)
    if isinstance(found, bool):
        found = xp.asarray(found, device=device)
    if not is_array(found) or found.dtype != compat.array_namespace(found).bool:
        kind = found.dtype if is_array(found) else f"a {type(found).__name__}"
        raise MaskError(
            f"the function of masks.where returned {kind}; expected Booleans, True = may attend"
        )
    shape = (1,) * (4 - found.ndim) + tuple(found.shape)
    if len(shape) > 4 or any(n not in (1, m) for n, m in zip(shape, full, strict=True)):
        raise MaskError(
            f"the function of masks.where returned shape {tuple(found.shape)}; expected one that "
            f"broadcasts to {full}, (examples, heads, queries, keys)"
        )
    return compat.array_namespace(found).reshape(found, shape)


@dataclass(frozen=True, eq=False)
class _BlockMask(Mask):
    """FlexAttention's mask: whole blocks, and blocks in which a function decides.

    Attributes:
        shape: queries and keys it was made for.
        block: queries and keys of a block.
        full: blocks all of whose pairs are allowed, `(batch or 1, heads or 1, rows, columns)`.
        partial: blocks in which `allowed` decides, of that shape.
        allowed: the function.
        like: a tensor of the library and device that the function is called with.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    full: np.ndarray
    partial: np.ndarray
    allowed: MaskFunction
    like: Any

    def check(self, layout: AttentionLayout) -> None:
        if self.shape != (layout.queries, layout.keys):
            raise MaskError(
                f"BlockMask was made for {self.shape[0]} queries and {self.shape[1]} keys; expected "
                f"{layout.queries} and {layout.keys} (make it anew by create_block_mask)"
            )
        batch, heads = self.full.shape[:2]
        if batch not in (1, layout.batch) or heads not in (1, layout.heads):
            raise MaskError(
                f"BlockMask was made for a batch of {batch} and {heads} heads; expected "
                f"{layout.batch} and {layout.heads}, or 1"
            )

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        row = np.arange(rows.start, rows.stop) // self.block[0]
        column = np.arange(columns.start, columns.stop) // self.block[1]
        full, partial = (x[:, :, row[:, None], column] for x in (self.full, self.partial))
        if not partial.any():
            return layout.asarray(full)
        xp, device = compat.array_namespace(self.like), device_of(self.like)
        allowed = _call(self.allowed, xp, device, layout, rows, columns)
        return layout.asarray(full) | (layout.asarray(partial) & layout.asarray(allowed))


def _block_mask(mask: Any) -> Mask:
    """The mask that a `torch.nn.attention.flex_attention.BlockMask` describes."""
    queries, keys = mask.seq_lengths
    rows, columns = (
        -(-length // size) for length, size in zip((queries, keys), mask.BLOCK_SIZE, strict=True)
    )
    partial = _listed_blocks(mask.kv_num_blocks, mask.kv_indices, rows, columns)
    full = np.zeros_like(partial)
    if mask.full_kv_num_blocks is not None:
        full = _listed_blocks(mask.full_kv_num_blocks, mask.full_kv_indices, rows, columns)
    if partial.any() and getattr(mask.mask_mod, "__name__", "") == "_sliced_mask_mod_error":
        raise MaskError(
            "mask is a slice of a BlockMask, which has lost its mask_mod; pass the whole BlockMask, or "
            "the function to masks.where"
        )
    block = mask.BLOCK_SIZE[0], mask.BLOCK_SIZE[1]
    return _BlockMask((queries, keys), block, full, partial, mask.mask_mod, mask.kv_indices[:0])


def _listed_blocks(count: Any, indices: Any, rows: int, columns: int) -> np.ndarray:
    """Blocks that each row of blocks lists, as Booleans `(batch or 1, heads or 1, rows, columns)`.

    Args:
        count: `(..., rows)`, how many of its indices each row uses.
        indices: `(..., rows, columns)`.
        rows: of blocks.
        columns: of blocks.
    """
    count, indices = to_numpy(count), to_numpy(indices)
    unused = np.arange(indices.shape[-1]) >= count[..., None]
    blocks = np.zeros((*indices.shape[:-1], columns + 1), bool)
    np.put_along_axis(blocks, np.where(unused, columns, indices).astype(np.int64), True, axis=-1)
    blocks = blocks[..., :rows, :columns]
    return blocks.reshape((1,) * (4 - blocks.ndim) + blocks.shape)


@dataclass(frozen=True, eq=False)
class _Not(Mask):
    """Pairs that a mask forbids."""

    mask: Mask

    @property
    def same_for_all_queries(self) -> bool:
        return self.mask.same_for_all_queries

    def check(self, layout: AttentionLayout) -> None:
        self.mask.check(layout)

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        return ~mask_tile(self.mask, layout, rows, columns)

    def __invert__(self) -> Mask:
        return self.mask


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
        first, second = (mask_tile(x, layout, rows, columns) for x in (self.first, self.second))
        return first & second

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        first, second = key_ranges(self.first, layout), key_ranges(self.second, layout)
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
        first, second = (mask_tile(x, layout, rows, columns) for x in (self.first, self.second))
        return first | second
