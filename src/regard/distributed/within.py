"""Masks and biases of a whole matrix, seen from a block of it.

A process computes a block of the matrix at a time: the queries that it holds, and a range of keys. To a
kernel a block is a matrix of its own; what a mask or bias says of positions is said of the whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.attention.layout import AttentionLayout
from regard.attention.masks import IntervalMask, Mask, mask_tile
from regard.attention.masks.base import Intervals
from regard.attention.positions import Bias, bias_tile
from regard.shapes import Array

__all__ = ["BiasWithin", "MaskWithin", "RangesWithin", "slices_within"]


@dataclass(frozen=True, eq=False)
class RangesWithin(IntervalMask):
    """The ranges of keys of some queries, counted from the first key of a block.

    Attributes:
        low: `(batch or 1, heads or 1, queries or 1)`, the first key of each query in the whole matrix.
        high: the one after its last.
        start: the first key of the block.
    """

    low: Tensor
    high: Tensor
    start: int

    def intervals(self, layout: AttentionLayout) -> Intervals:
        """The ranges as far as they are in the block."""
        return layout.clip_to_keys(self.low - self.start), layout.clip_to_keys(
            self.high - self.start
        )


@dataclass(frozen=True, eq=False)
class MaskWithin(Mask):
    """Tiles of a mask of the whole matrix.

    Attributes:
        mask: of the whole matrix.
        layout: of the whole matrix.
        queries: positions of the block's queries.
        start: the first key of the block.
    """

    mask: Mask
    layout: AttentionLayout
    queries: Sequence[range]
    start: int

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Array:
        """A tile of the whole matrix's mask."""
        return _tile(
            self.queries,
            rows,
            columns,
            self.start,
            lambda own, keys: mask_tile(self.mask, self.layout, own, keys),
        )


@dataclass(frozen=True, eq=False)
class BiasWithin(Bias):
    """Tiles of a bias of the whole matrix; attributes as those of `MaskWithin`."""

    bias: Bias
    layout: AttentionLayout
    queries: Sequence[range]
    start: int

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Array:
        """A tile of the whole matrix's bias."""
        return _tile(
            self.queries,
            rows,
            columns,
            self.start,
            lambda own, keys: bias_tile(self.bias, self.layout, own, keys),
        )


def slices_within(queries: Sequence[range], rows: slice) -> list[slice]:
    """The positions of some rows of a process, as slices of the whole sequence.

    >>> slices_within([range(4, 8), range(20, 30)], slice(2, 7))
    [slice(6, 8, None), slice(20, 23, None)]
    """
    found, first = [], 0
    for piece in queries:
        begin, end = max(rows.start - first, 0), min(rows.stop - first, len(piece))
        if begin < end:
            found.append(slice(piece.start + begin, piece.start + end))
        first += len(piece)
    return found


def _tile(
    queries: Sequence[range],
    rows: slice,
    columns: slice,
    start: int,
    of_whole: Callable[[slice, slice], Tensor],
) -> Tensor:
    """A tile of a block from the tiles of its ranges of queries."""
    keys = slice(start + columns.start, start + columns.stop)
    spans = slices_within(queries, rows)
    tiles = [of_whole(span, keys) for span in spans]
    if len(tiles) == 1:
        return tiles[0]
    # An axis of 1 stands for all rows of its tile, and tiles of several ranges may differ.
    heights = [span.stop - span.start for span in spans]
    width = max((tile.shape[3] for tile in tiles), default=0)
    return torch.cat(
        [
            tile.expand(*tile.shape[:2], height, width)
            for tile, height in zip(tiles, heights, strict=True)
        ],
        2,
    )
