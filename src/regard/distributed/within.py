"""Masks and biases of a whole matrix, seen from a block of it.

A process computes a block of the matrix at a time: the queries that it holds, and a range of keys. To a
kernel a block is a matrix of its own; what a mask or bias says of positions is said of the whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from regard.attention.layout import AttentionLayout
from regard.attention.masks import IntervalMask, Mask, mask_tile
from regard.attention.masks.base import Intervals
from regard.attention.positions import Bias, bias_tile
from regard.shapes import Array

__all__ = ["BiasWithin", "MaskWithin", "Placement", "RangesWithin", "slices_within"]

TileOf: TypeAlias = Callable[[AttentionLayout, slice, slice], Tensor]


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


@dataclass(frozen=True)
class Placement:
    """Where a block lies in its matrix.

    Attributes:
        whole: the layout of the whole matrix.
        queries: positions of the block's queries.
        start: the first key of the block.
    """

    whole: AttentionLayout
    queries: Sequence[range]
    start: int

    def tile(self, tile_of: TileOf, rows: slice, columns: slice) -> Tensor:
        """A tile of the block; `tile_of` makes those of the whole matrix, here of a range of queries each."""
        keys = slice(self.start + columns.start, self.start + columns.stop)
        spans = slices_within(self.queries, rows)
        tiles = [tile_of(self.whole, span, keys) for span in spans]
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


@dataclass(frozen=True, eq=False)
class MaskWithin(Mask):
    """A mask of the whole matrix, as a block has it."""

    mask: Mask
    placement: Placement

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Array:
        """A tile of the block's mask."""
        return self.placement.tile(partial(mask_tile, self.mask), rows, columns)


@dataclass(frozen=True, eq=False)
class BiasWithin(Bias):
    """A bias of the whole matrix, as a block has it."""

    bias: Bias
    placement: Placement

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Array:
        """A tile of the block's bias."""
        return self.placement.tile(partial(bias_tile, self.bias), rows, columns)


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
