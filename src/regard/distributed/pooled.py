"""Pooled blocks of a matrix that comes in tiles, from several processes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from regard.attention.pooling import block_lengths, block_size

__all__ = ["PooledBlocks"]

Reduce = Callable[[Tensor, int], Tensor]
"""A sum or a maximum over one axis, which disappears."""


class PooledBlocks:
    """Sums and maxima of the blocks of a matrix, whose tiles are added one by one.

    Args:
        leading: batch and heads.
        lengths: queries and keys of the whole matrix.
        blocks: along the queries and along the keys, at most.
        device: of the tiles.
    """

    def __init__(
        self,
        leading: tuple[int, int],
        lengths: tuple[int, int],
        blocks: tuple[int, int],
        device: torch.device,
    ) -> None:
        self._lengths = lengths
        self._sizes = block_size(lengths[0], blocks[0]), block_size(lengths[1], blocks[1])
        count = [-(-length // size) for length, size in zip(lengths, self._sizes, strict=True)]
        self._sums = torch.zeros((*leading, *count), dtype=torch.float64, device=device)
        self._maxima = torch.zeros_like(self._sums)

    def add(self, weights: Tensor, first_query: int, first_key: int) -> None:
        """Take in one tile, `(batch, heads, rows, columns)`, by the position of its first entry."""
        firsts, sums, maxima = (first_query, first_key), weights, weights
        for axis in (3, 2):
            first, size = firsts[axis - 2], self._sizes[axis - 2]
            sums = _by_block(sums, axis, first % size, size, _sum)
            maxima = _by_block(maxima, axis, first % size, size, torch.amax)
        row, column = (first // size for first, size in zip(firsts, self._sizes, strict=True))
        here = (..., slice(row, row + sums.shape[2]), slice(column, column + sums.shape[3]))
        self._sums[here] += sums
        self._maxima[here] = torch.maximum(self._maxima[here], maxima.double())

    def add_nan(self, queries: Tensor, nan: Tensor) -> None:
        """Mark the blocks of queries whose weights are NaN, at all keys.

        Args:
            queries: `(queries,)` positions.
            nan: `(batch, heads, queries)` Booleans.
        """
        marks = torch.where(nan, math.nan, 0.0).double()[..., None]
        blocks = (queries // self._sizes[0]).to(nan.device)
        self._sums.index_add_(2, blocks, marks.expand(*nan.shape, self._sums.shape[3]))

    def finish(
        self, add_up: Callable[[Tensor], Tensor], largest: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Mean and maximum of each block of the whole matrix, float64.

        Args:
            add_up: the sum of a tensor over all processes.
            largest: the maximum of a tensor over all processes.
        """
        heights, widths = map(block_lengths, self._lengths, self._sizes)
        area = torch.as_tensor(heights[:, None] * widths, device=self._sums.device)
        sums = add_up(self._sums)
        # The maximum of NaN and a number is not NaN in every backend.
        maxima = largest(self._maxima.nan_to_num(nan=0.0)).masked_fill(sums.isnan(), math.nan)
        return sums / area, maxima


def _sum(x: Tensor, axis: int) -> Tensor:
    return x.sum(axis, dtype=torch.float64)


def _by_block(x: Tensor, axis: int, first: int, size: int, reduce: Reduce) -> Tensor:
    """One number for each block along an axis.

    Args:
        x: a tile.
        axis: to be reduced, 2 or 3.
        first: place of the tile's first entry in its block.
        size: entries of a block.
        reduce: along an axis.
    """
    length = x.shape[axis]
    if length <= size:  # in one block or two
        before = min(size - first, length)
        parts = torch.split(x, [before, length - before] if before < length else length, axis)
        return torch.stack([reduce(part, axis) for part in parts], axis)
    count = -(-(first + length) // size)
    ends = (first, count * size - first - length)
    # Whole blocks: zeros change neither a sum nor, as weights are not negative, a maximum.
    filled = pad(x, ends if axis == 3 else (0, 0, *ends)) if any(ends) else x
    return reduce(torch.unflatten(filled, axis, (count, size)), axis + 1)
