"""How the matrix is cut: into tiles for the kernels, and into parts of pooled blocks.

A pooled map has blocks of any size. Each block is cut into equal *parts*, small enough that a tile is
made of whole parts; kernels compute one sum and one maximum for each part, and `adapter` joins the
parts of a block::

    keys      0         100        200        300
    blocks    |          |          |          |       3 blocks of 100 keys
    parts     |    |     |    |     |    |     |       each at most MAX_CHUNK_KEYS, here 64
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regard.attention.kernels import limits

__all__ = [
    "BackwardPlan",
    "BlockEdges",
    "ForwardPlan",
    "block_edges",
    "has_whole_rows",
    "make_backward_plan",
    "make_forward_plan",
    "split_edges",
]


class BlockEdges(NamedTuple):
    """Where the parts of pooled blocks begin, and the end; counted from the first row of the call."""

    query: npt.NDArray[np.int64]
    key: npt.NDArray[np.int64]


class ForwardPlan(NamedTuple):
    """How the forward pass cuts the matrix; read by compiled code."""

    row_tiles: Any
    """int64: where each tile of queries begins, and the end."""
    query_edges: Any
    """int64: where each part of a block of queries begins, and the end; tiles hold whole parts."""
    key_edges: Any
    """int64: where each chunk of keys begins, and the end; tiles hold whole chunks."""
    pool_edges: Any
    """int64: where each part of a block of keys begins, and the end: the chunks, unless rows are whole."""
    columns: Any
    """int64: keys of a tile, at most."""
    whole: Any
    """bool: whether a tile holds all keys, see `has_whole_rows`."""


class BackwardPlan(NamedTuple):
    """How the backward pass cuts the matrix; read by compiled code."""

    rows: Any
    """int64: queries of a tile."""
    columns: Any
    """int64: keys of a tile."""
    key_ranges: Any
    """int64: where each task's range of keys begins, and the end."""


def split_edges(start: int, stop: int, block: int, most: int) -> npt.NDArray[np.int64]:
    """Cuts `[start, stop)` into parts of at most `most` positions that lie within blocks.

    Args:
        start: where the range begins in the whole axis.
        stop: where it ends.
        block: positions of a block, counted from 0 of the whole axis; 0 for no blocks.
        most: positions of a part.

    Returns:
        Where each part begins, and the end, counted from `start`.

    >>> split_edges(100, 400, 150, 80).tolist()
    [0, 50, 125, 200, 250, 300]
    """
    block = block or most
    edges = [start, *range((start // block + 1) * block, stop, block), stop]
    parts = [0]
    for first, last in pairwise(edges):
        count = -(-(last - first) // most)
        parts += [first - start + (part + 1) * (last - first) // count for part in range(count)]
    return np.array(parts, np.int64)


def block_edges(
    first_row: int, queries: int, keys: int, query_block: int, key_block: int
) -> BlockEdges:
    """The parts that the kernels make of pooled blocks: the one place that decides them.

    Args:
        first_row: index of the first query in the whole matrix.
        queries: of the call.
        keys: of the whole matrix.
        query_block: queries of a block; 0 for no blocks.
        key_block: keys of a block; 0 for no blocks.
    """
    return BlockEdges(
        split_edges(first_row, first_row + queries, query_block, limits.MAX_PART_QUERIES),
        split_edges(0, keys, key_block, limits.MAX_CHUNK_KEYS),
    )


def has_whole_rows(keys: int) -> bool:
    """Whether one tile holds all keys, so that the weights of a row are final as soon as they are made.

    Blocks and received mass are then sums of columns of a tile, whatever the blocks' width, in the one pass.
    """
    return keys <= limits.TILE_KEYS


def make_forward_plan(edges: BlockEdges, *, masked: bool) -> ForwardPlan:
    """Tiles of queries that are made of whole parts.

    Args:
        edges: of parts, also where nothing is pooled: keys are worked on in chunks all the same.
        masked: whether a mask excludes part of the matrix.
    """
    rows = limits.MASKED_TILE_QUERIES if masked else limits.TILE_QUERIES
    starts = [0]
    for start, stop in pairwise(edges.query):
        if stop - starts[-1] > rows:
            starts.append(int(start))
    row_tiles = np.array([*starts, edges.query[-1]], np.int64)
    keys = int(edges.key[-1])
    whole = has_whole_rows(keys)
    chunks = split_edges(0, keys, 0, limits.MAX_CHUNK_KEYS) if whole else edges.key
    return ForwardPlan(row_tiles, edges.query, chunks, edges.key, limits.TILE_KEYS, whole)


def make_backward_plan(queries: int, keys: int, pairs: int) -> BackwardPlan:
    """Tiles, and ranges of keys that make tasks of about equal size.

    A task is a range of keys of one key head. Each range has a gradient of the queries of its own, and the sum
    over ranges rounds; so their number follows from the sizes alone, and gradients are the same bits for any
    number of threads.

    Args:
        queries: of the matrix.
        keys: of the matrix.
        pairs: key heads of all examples.
    """
    count = 1
    while count < limits.MAX_KEY_RANGES and pairs * count < limits.ENOUGH_TASKS:
        few = pairs * count < limits.FEW_TASKS
        least = limits.TILE_KEYS // 2 if few else limits.TILE_KEYS
        if keys < 2 * count * least:
            break
        count *= 2
    key_ranges = np.linspace(0, keys, count + 1).astype(np.int64)
    return BackwardPlan(
        min(limits.MASKED_TILE_QUERIES, queries), min(limits.TILE_KEYS, keys), key_ranges
    )
