"""Blocks of an attention matrix: equal but for the last, each one number."""

from __future__ import annotations

import math

import numpy as np

from regard.attention.problem import RowSource
from regard.shapes import Array

__all__ = ["block_lengths", "block_size", "pooled"]


def pooled(source: RowSource, query_blocks: int, key_blocks: int) -> tuple[Array, Array]:
    """Mean and maximum of each block, `(batch, heads, query blocks, key blocks)`."""
    layout, xp = source.layout, source.layout.xp
    rows, columns = block_size(layout.queries, query_blocks), block_size(layout.keys, key_blocks)
    blocks = math.ceil(layout.keys / columns)
    filler = xp.zeros(
        (layout.batch, layout.heads, rows, blocks * columns - layout.keys),
        dtype=layout.dtype,
        device=layout.device,
    )
    nothing = xp.zeros(
        (layout.batch, layout.heads, 0, blocks), dtype=layout.dtype, device=layout.device
    )
    sums, maxima = [nothing], [nothing]
    for start in range(0, layout.queries, rows):
        weights = source.weights(slice(start, min(layout.queries, start + rows)))
        weights = xp.concat((weights, filler[:, :, : weights.shape[2]]), axis=-1)
        weights = xp.reshape(weights, (*weights.shape[:3], blocks, columns))
        sums.append(xp.sum(weights, axis=(2, 4))[:, :, None])
        maxima.append(xp.max(weights, axis=(2, 4))[:, :, None])
    tall = block_lengths(layout.queries, rows)[:, None]
    area = layout.asarray(tall * block_lengths(layout.keys, columns), layout.dtype)
    return xp.concat(sums, axis=2) / area, xp.concat(maxima, axis=2)


def block_size(length: int, blocks: int) -> int:
    """Positions of each block but the last."""
    return max(1, math.ceil(length / blocks))


def block_lengths(length: int, size: int) -> np.ndarray:
    """Positions of every block."""
    starts = np.arange(0, length, size)
    return np.minimum(starts + size, length) - starts
