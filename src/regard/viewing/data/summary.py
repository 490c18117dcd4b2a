"""Statistics of dense maps in NumPy, and the summary that stands for a map too large to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regard.errors import InputError, ShapeError

__all__ = [
    "FloatArray",
    "Heads",
    "IntArray",
    "MapSummary",
    "block_edges",
    "entropy",
    "full_share",
    "merge_pieces",
    "pool",
    "reduce_heads",
    "topk",
]

FloatArray: TypeAlias = NDArray[np.floating]
IntArray: TypeAlias = NDArray[np.int32]
Heads: TypeAlias = int | Literal["mean", "max"]

_EVEN_SHARES = 4  # times the weight of a token under even attention, which a full bar is at least


@dataclass(frozen=True, eq=False)
class MapSummary:
    """A large map in blocks: block means and maxima, with exact statistics of rows and columns.

    Attributes:
        mean: `(heads, row blocks, column blocks)`, the mean weight in each block. With `b` blocks over
            `n` positions each block has `ceil(n / b)` positions; the last may have fewer.
        max: the largest weight in each block, shaped like `mean`, so that no spike is averaged away.
        top_values: `(heads, queries, k)`, the largest weights of each row, descending; exact.
        top_keys: the positions of their keys, shaped like `top_values`.
        entropy: `(heads, queries)`, nats; exact.
        received: `(heads, keys)`, the column sums; exact.
    """

    mean: FloatArray
    max: FloatArray
    top_values: FloatArray
    top_keys: IntArray
    entropy: FloatArray
    received: FloatArray

    def __post_init__(self) -> None:
        heads, queries = self.entropy.shape
        keys = self.received.shape[1]
        fits = (
            self.mean.shape == self.max.shape
            and self.mean.shape[0] == self.received.shape[0] == heads
            and self.mean.shape[1] <= queries
            and self.mean.shape[2] <= keys
            and self.top_values.shape == self.top_keys.shape
            and self.top_values.shape[:2] == (heads, queries)
        )
        if not fits:
            raise ShapeError(
                f"a summary of {heads} heads, {queries} queries and {keys} keys (from entropy and "
                f"received) does not go with mean {self.mean.shape}, max {self.max.shape}, top "
                f"values {self.top_values.shape} and keys {self.top_keys.shape}"
            )
        for name in ("mean", "max", "top_values", "entropy", "received"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        object.__setattr__(self, "top_keys", np.asarray(self.top_keys, dtype=np.int32))

    @classmethod
    def of(cls, weights: FloatArray, *, blocks: int = 512, k: int = 32) -> MapSummary:
        """Summarise `(heads, queries, keys)` weights, with at most `blocks` blocks a side."""
        mean, peak = pool(weights, blocks, blocks)
        values, keys = topk(weights, k)
        return cls(mean, peak, values, keys, entropy(weights), weights.sum(axis=1))

    def coarser(self, rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
        """Mean and maximum at a lower resolution of at most `(rows, columns)` blocks."""
        _, down, across = self.mean.shape
        queries, keys = self.entropy.shape[1], self.received.shape[1]
        tall = np.diff(block_edges(queries, down), append=queries)
        wide = np.diff(block_edges(keys, across), append=keys)
        cells = np.outer(tall, wide)[None].astype(np.float32)  # the last blocks may be smaller
        mean = pool(self.mean * cells, rows, columns)[0] / pool(cells, rows, columns)[0]
        return mean, pool(self.max, rows, columns)[1]


def reduce_heads(maps: FloatArray, heads: Heads) -> FloatArray:
    """Reduce `(heads, ...)` to one map: the mean, the maximum, or one head counted from 0."""
    if heads == "mean":
        return np.asarray(maps.mean(axis=0))
    if heads == "max":
        return np.asarray(maps.max(axis=0))
    if not (isinstance(heads, int) and 0 <= heads < len(maps)):
        raise InputError(
            f"no head {heads!r} of {len(maps)}; heads count from 0, or say 'mean' or 'max'"
        )
    return np.asarray(maps[heads])


def block_edges(length: int, blocks: int) -> NDArray[np.int64]:
    """The first position of each of at most `blocks` equal blocks; the last may be smaller."""
    return np.arange(0, length, -(-length // blocks))


def pool(weights: FloatArray, rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    """Mean and maximum of each block of `(heads, queries, keys)` weights."""
    _, queries, keys = weights.shape
    down, across = block_edges(queries, rows), block_edges(keys, columns)
    total = np.add.reduceat(np.add.reduceat(weights, across, axis=2), down, axis=1)
    peak = np.maximum.reduceat(np.maximum.reduceat(weights, across, axis=2), down, axis=1)
    cells = np.outer(np.diff(down, append=queries), np.diff(across, append=keys))
    return np.asarray(total / cells, dtype=np.float32), np.asarray(peak)


def topk(weights: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """The `k` largest weights of every row, descending, and their keys; ties in the order of the keys."""
    k = min(k, weights.shape[-1])
    falling = -weights
    edge = np.partition(falling, k - 1, axis=-1)[..., k - 1 : k]
    larger = (falling < edge) | (np.isnan(edge) & ~np.isnan(falling))
    equal = ~larger & ((falling == edge) | np.isnan(edge))
    # A partition picks any of several equal weights at the edge; taking the first makes it definite.
    room = k - larger.sum(axis=-1, keepdims=True)
    chosen = larger | (equal & (equal.cumsum(axis=-1) <= room))
    some = np.nonzero(chosen)[-1].reshape(*weights.shape[:-1], k)
    order = np.argsort(-np.take_along_axis(weights, some, axis=-1), axis=-1, kind="stable")
    keys = np.take_along_axis(some, order, axis=-1)
    return np.take_along_axis(weights, keys, axis=-1), keys.astype(np.int32)


def entropy(weights: FloatArray) -> FloatArray:
    """`-sum p log p` over the last axis, in nats; 0 log 0 is 0."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return np.asarray(np.abs((weights * logs).sum(axis=-1)))  # every term is 0 or below


def full_share(weights: FloatArray) -> float:
    """The weight that a full bar, or the darkest shade, stands for among shares of one text.

    It is the largest weight, and at least four times an even share (at most 1), so that attention spread
    evenly over a text is a row of short bars and not of full ones.

    >>> full_share(np.full(20, 0.05)), full_share(np.array([0.9, 0.1]))
    (0.2, 1.0)
    """
    even = _EVEN_SHARES / max(1, weights.size)
    return max(float(weights.max(initial=0.0)), min(1.0, even))


def merge_pieces(weights: FloatArray, rows: Sequence[int], columns: Sequence[int]) -> FloatArray:
    """Merge pieces to words, given the first piece of each word: mean over queries, sum over keys.

    >>> merge_pieces(np.array([[[0.5, 0.25, 0.25], [0.1, 0.6, 0.3]]]), [0], [0, 1])
    array([[[0.3, 0.7]]])
    """
    summed = np.add.reduceat(np.add.reduceat(weights, columns, axis=2), rows, axis=1)
    sizes = np.diff(np.asarray(rows), append=weights.shape[1])
    return np.asarray(summed / sizes[:, None].astype(weights.dtype))
