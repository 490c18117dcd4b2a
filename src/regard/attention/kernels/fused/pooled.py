"""Pooled maps of the fused kernels: parts joined to blocks, and blocks to larger ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from regard.attention.kernels.fused.arguments import Results
from regard.attention.kernels.fused.partition import BlockEdges
from regard.attention.layout import AttentionLayout
from regard.attention.pooling import block_lengths, block_size
from regard.shapes import Array

__all__ = ["are_made_of", "join_blocks", "join_parts"]

Pooled = tuple[Array, Array]
"""Mean and maximum of blocks, `(batch, heads, query blocks, key blocks)` each."""


def join_parts(
    blocks: Sequence[int], results: Results, layout: AttentionLayout, edges: BlockEdges
) -> Pooled:
    """Mean and maximum of blocks, from sums and maxima of their parts.

    Args:
        blocks: along queries and keys, at most.
        results: of the kernel.
        layout: of the matrix.
        edges: of the parts.
    """
    xp, sums, maxima = layout.xp, results.block_sum, results.block_max
    lengths, sizes = (layout.queries, layout.keys), _sizes(layout, blocks)
    for axis, length, size, axis_edges in zip((2, 3), lengths, sizes, edges, strict=True):
        firsts = [*np.searchsorted(axis_edges, np.arange(0, length, size)), len(axis_edges) - 1]
        sums = _join_runs(xp, xp.sum, sums, firsts, axis)
        maxima = _join_runs(xp, xp.max, maxima, firsts, axis)
    return sums / _areas(layout, sizes), maxima


def are_made_of(layout: AttentionLayout, large: Sequence[int], small: Sequence[int]) -> bool:
    """Whether each block of a pooled map consists of whole blocks of another.

    Args:
        layout: of the matrix.
        large: blocks along queries and keys, at most.
        small: of the other map.
    """
    sizes = zip(_sizes(layout, large), _sizes(layout, small), strict=True)
    return not any(size % part for size, part in sizes)


def join_blocks(
    layout: AttentionLayout, pooled: Pooled, small: Sequence[int], large: Sequence[int]
) -> Pooled | None:
    """Mean and maximum of larger blocks, where `are_made_of` says that they follow; else `None`.

    Args:
        layout: of the matrix.
        pooled: mean and maximum of the smaller blocks.
        small: those along queries and keys, at most.
        large: the larger ones.
    """
    if not are_made_of(layout, large, small):
        return None
    xp, (mean, most) = layout.xp, pooled
    of_small, of_large = _sizes(layout, small), _sizes(layout, large)
    sums = mean * _areas(layout, of_small)
    for axis, size, part in zip((2, 3), of_large, of_small, strict=True):
        firsts = [*range(0, mean.shape[axis], size // part), mean.shape[axis]]
        sums = _join_runs(xp, xp.sum, sums, firsts, axis)
        most = _join_runs(xp, xp.max, most, firsts, axis)
    return sums / _areas(layout, of_large), most


def _sizes(layout: AttentionLayout, blocks: Sequence[int]) -> list[int]:
    """Queries and keys of a block."""
    lengths = (layout.queries, layout.keys)
    return [block_size(length, count) for length, count in zip(lengths, blocks, strict=True)]


def _areas(layout: AttentionLayout, sizes: Sequence[int]) -> Array | float:
    """Number of weights in each block of so many queries and keys; the last may be smaller.

    A number where all are equal: an array would have to travel to the device.
    """
    lengths = (layout.queries, layout.keys)
    if not any(length % size for length, size in zip(lengths, sizes, strict=True)):
        return float(math.prod(sizes))
    axes = [block_lengths(length, size) for length, size in zip(lengths, sizes, strict=True)]
    return layout.asarray(np.outer(*axes).astype(np.float32))


def _join_runs(
    xp: Any, reduce: Callable[..., Array], parts: Array, firsts: Sequence[int], axis: int
) -> Array:
    """One number for each run of parts along an axis; runs of one length are reduced together.

    Args:
        xp: the library of the parts.
        reduce: `xp.sum` or `xp.max`.
        parts: `(batch, heads, query parts, key parts)`.
        firsts: where each run begins, and the end.
        axis: of the runs.
    """
    if len(firsts) == parts.shape[axis] + 1:  # runs of one
        return parts
    joined = []
    for length, runs in itertools.groupby(itertools.pairwise(firsts), lambda run: run[1] - run[0]):
        bounds = list(runs)
        span = slice(int(bounds[0][0]), int(bounds[-1][1]))
        some = parts[(*(slice(None),) * axis, span)]
        shape = (*some.shape[:axis], len(bounds), int(length), *some.shape[axis + 1 :])
        joined.append(reduce(xp.reshape(some, shape), axis=axis + 1))
    return xp.concat(joined, axis=axis) if len(joined) > 1 else joined[0]
