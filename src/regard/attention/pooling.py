"""Block pooling of an attention matrix: mean and maximum of each block of queries and keys."""

from __future__ import annotations

import math

import numpy as np

from regard.attention.problem import RowSource
from regard.shapes import Array

__all__ = ["block_lengths", "block_size", "pool_blocks"]


def pool_blocks(source: RowSource, query_blocks: int, key_blocks: int) -> tuple[Array, Array]:
    """Mean and maximum of each block, `(batch, heads, query_blocks, key_blocks)` each.

    One band of blocks is computed at a time, so memory is that of `block_size` rows.

    Args:
        source: of the matrix.
        query_blocks: blocks along the queries, at most.
        key_blocks: blocks along the keys, at most.
    """
    layout, xp = source.layout, source.layout.xp
    rows, columns = block_size(layout.queries, query_blocks), block_size(layout.keys, key_blocks)
    blocks = math.ceil(layout.keys / columns)
    leading = (layout.batch, layout.heads)
    # Zeros fill the last block up: they change neither its sum nor, as weights are >= 0, its maximum.
    filler = xp.zeros(
        (*leading, rows, blocks * columns - layout.keys), dtype=layout.dtype, device=layout.device
    )
    # An empty band first: a matrix without queries has no other.
    empty = xp.zeros((*leading, 0, blocks), dtype=layout.dtype, device=layout.device)
    sums, maxima = [empty], [empty]
    for start in range(0, layout.queries, rows):
        weights = source.weights(slice(start, min(layout.queries, start + rows)))
        weights = xp.concat((weights, filler[:, :, : weights.shape[2]]), axis=-1)
        weights = xp.reshape(weights, (*weights.shape[:3], blocks, columns))
        sums.append(xp.sum(weights, axis=(2, 4))[:, :, None])
        maxima.append(xp.max(weights, axis=(2, 4))[:, :, None])
    heights = block_lengths(layout.queries, rows)[:, None]
    area = layout.asarray(heights * block_lengths(layout.keys, columns), layout.dtype)
    return xp.concat(sums, axis=2) / area, xp.concat(maxima, axis=2)


def block_size(length: int, blocks: int) -> int:
    """Positions of each block but the last, `ceil(length / blocks)`."""
    return max(1, math.ceil(length / blocks))


def block_lengths(length: int, size: int) -> np.ndarray:
    """Positions of every block."""
    starts = np.arange(0, length, size)
    return np.minimum(starts + size, length) - starts
