"""Blocks of an attention matrix: equal but for the last, each one number."""

from __future__ import annotations

import math

import numpy as np

from regard.attention.problem import Source
from regard.shapes import Array

__all__ = ["block_lengths", "block_size", "pooled"]


def pooled(source: Source, query_blocks: int, key_blocks: int) -> tuple[Array, Array]:
    """Mean and maximum of each block, `(batch, heads, query blocks, key blocks)`."""
    grid, xp = source.grid, source.grid.xp
    rows, columns = block_size(grid.queries, query_blocks), block_size(grid.keys, key_blocks)
    blocks = math.ceil(grid.keys / columns)
    filler = xp.zeros(
        (grid.batch, grid.heads, rows, blocks * columns - grid.keys),
        dtype=grid.dtype,
        device=grid.device,
    )
    nothing = xp.zeros((grid.batch, grid.heads, 0, blocks), dtype=grid.dtype, device=grid.device)
    sums, maxima = [nothing], [nothing]
    for start in range(0, grid.queries, rows):
        weights = source.weights(slice(start, min(grid.queries, start + rows)))
        weights = xp.concat((weights, filler[:, :, : weights.shape[2]]), axis=-1)
        weights = xp.reshape(weights, (*weights.shape[:3], blocks, columns))
        sums.append(xp.sum(weights, axis=(2, 4))[:, :, None])
        maxima.append(xp.max(weights, axis=(2, 4))[:, :, None])
    tall = block_lengths(grid.queries, rows)[:, None]
    area = grid.asarray(tall * block_lengths(grid.keys, columns), grid.dtype)
    return xp.concat(sums, axis=2) / area, xp.concat(maxima, axis=2)


def block_size(length: int, blocks: int) -> int:
    """Positions of each block but the last."""
    return max(1, math.ceil(length / blocks))


def block_lengths(length: int, size: int) -> np.ndarray:
    """Positions of every block."""
    starts = np.arange(0, length, size)
    return np.minimum(starts + size, length) - starts
