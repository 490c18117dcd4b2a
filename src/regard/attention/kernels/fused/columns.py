"""Sums and maxima of columns, where a tile holds all keys: pooled blocks of any width, and received mass.

The weights of a row are then final as soon as they are made. A few rows are added up in float32, column by
column; then the columns go to the sums of the tile, in float64, and to the blocks that these rows belong to.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import assume_contiguous, larger
from regard.compiled.jit import inlined

__all__ = ["add_to_columns", "flush_columns"]


@inlined
def add_to_columns(work, r, share, j0, width):
    """Adds one row's final weights to the columns of its tile; `share` is the factor of its weights."""
    weights = work.scores[r]
    sums, most = work.received_part[j0 : j0 + width], work.largest_part[j0 : j0 + width]
    for j in range(width):
        weight_of_key = share * weights[j]
        sums[j] += weight_of_key
        most[j] = larger(weight_of_key, most[j])


@inlined
def add_blocks(width, first, last, part, most, sums, maxima):
    """Adds columns to blocks of equal width; a loop of known width, which a constant makes it, vectorises."""
    for c in range(first, last):
        added, highest = np.float32(0), maxima[c]
        for j in range(width):
            added += part[c * width + j]
            highest = larger(most[c * width + j], highest)
        sums[c] += added
        maxima[c] = highest


@inlined
def flush_columns(work, keys, edges, block_sums, block_maxima):
    """Adds the columns of the last few rows to the tile's sums, and to a row of blocks if there are any."""
    part, most, total = work.received_part, work.largest_part, work.received_total
    sums, maxima = assume_contiguous(block_sums), assume_contiguous(block_maxima)
    for j in range(keys):
        total[j] += part[j]
    done = 0
    if sums.size:
        # 64 blocks of up to 512 keys are narrow; all but the last are of one width.
        width = edges[1]
        done = keys // width
        if width == 2:
            add_blocks(2, 0, done, part, most, sums, maxima)
        elif width == 3:
            add_blocks(3, 0, done, part, most, sums, maxima)
        elif width == 4:
            add_blocks(4, 0, done, part, most, sums, maxima)
        elif width == 8:
            add_blocks(8, 0, done, part, most, sums, maxima)
        else:
            done = 0
    for c in range(done, sums.size):
        added, highest = np.float32(0), maxima[c]
        for j in range(edges[c], edges[c + 1]):
            added += part[j]
            highest = larger(most[j], highest)
        sums[c] += added
        maxima[c] = highest
    part[:] = 0
    most[:] = 0
