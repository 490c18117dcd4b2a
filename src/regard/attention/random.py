"""Noise that is a function of where it falls, not of when it is drawn.

Whether the weight of (head, row, column) is dropped is a hash of these three numbers and a seed.
So the same mask comes out whatever the tiling, the number of threads, the order of the tiles or the
array library, and a backward pass makes it again rather than store it. Gumbel noise is drawn the
same way.

The hash: every row and every column has a 32-bit key, and an element is a lowbias32 of their xor::

    row_key    = lowbias32(lowbias32(lowbias32(lowbias32(seed_low) + seed_high) + head) + row)
    column_key = lowbias32(lowbias32(seed_low ^ GOLDEN) + column)
    kept       = lowbias32(row_key ^ column_key) >= rate * 2**32

`lowbias32` is Wellons' `lowbias32` (https://nullprogram.com/blog/2018/07/31/), whose output bits each
flip with a probability near one half when an input bit flips. Keys are joined by xor rather than
by a sum: with a sum, the mask of one row would be a shifted copy of another's wherever two row
keys lie close together.

`head` counts over batch and heads: `batch_index * heads + head_index`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat as compat
import numpy as np
import numpy.typing as npt

from regard.attention.arrays import device_of
from regard.shapes import Array

__all__ = ["column_keys", "drop_threshold", "dropout_mask", "gumbel_noise", "lowbias32", "row_keys"]

GOLDEN = 0x9E3779B9
WORD = 0xFFFFFFFF

Keys = npt.NDArray[np.uint32]


def lowbias32(x: Any, word: Callable[[int], Any] = np.uint32) -> Any:
    """`lowbias32`: a bijection of 32-bit words.

    Args:
        x: `uint32`, or 64-bit signed integers that hold a word (torch has no unsigned arithmetic).
        word: makes the constants: `np.uint32`, or `int` for 64-bit integers.

    >>> [hex(int(word)) for word in lowbias32(np.arange(3, dtype=np.uint32))]
    ['0x0', '0x688990c0', '0xd1132181']
    """
    x = x ^ (x >> 16)
    x = (x * word(0x7FEB352D)) & word(WORD)
    x = x ^ (x >> 15)
    x = (x * word(0x846CA68B)) & word(WORD)
    return x ^ (x >> 16)


def row_keys(seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike) -> Keys:
    """The keys of rows: `(len(heads), len(rows))`."""
    by_head, by_row = (np.asarray(places).astype(np.uint32) for places in (heads, rows))
    return np.asarray(_row_keys(seed, by_head, by_row, np.uint32))


def column_keys(seed: int, columns: npt.ArrayLike) -> Keys:
    """The keys of columns: `(len(columns),)`."""
    return np.asarray(_column_keys(seed, np.asarray(columns).astype(np.uint32), np.uint32))


def _row_keys(seed: int, heads: Any, rows: Any, word: Callable[[int], Any]) -> Any:
    start = lowbias32((lowbias32(seed & WORD, int) + (seed >> 32 & WORD)) & WORD, int)
    by_head = lowbias32((heads + word(start)) & word(WORD), word)
    return lowbias32((by_head[:, None] + rows) & word(WORD), word)


def _column_keys(seed: int, columns: Any, word: Callable[[int], Any]) -> Any:
    start = lowbias32((seed & WORD) ^ GOLDEN, int)
    return lowbias32((columns + word(start)) & word(WORD), word)


def drop_threshold(rate: float) -> int:
    """The word below which a weight is dropped."""
    return min(math.floor(rate * 2.0**32), WORD)


def dropout_mask(
    seed: int,
    heads: npt.ArrayLike,
    rows: npt.ArrayLike,
    columns: npt.ArrayLike,
    *,
    rate: float,
    like: Array,
) -> Array:
    """Which weights of a tile dropout keeps, as a Boolean array of the library of `like`.

    Args:
        seed: any integer of up to 64 bits.
        heads: indices counted over batch and heads.
        rows: query positions.
        columns: key positions.
        rate: the share that is dropped, in [0, 1).
        like: an array that says which library and device the answer lives in.

    Returns:
        `(len(heads), len(rows), len(columns))`, `True` where the weight is kept.
    """
    words = _words(seed, heads, rows, columns, like)
    xp = compat.array_namespace(like)
    return words >= xp.asarray(drop_threshold(rate), dtype=words.dtype, device=device_of(words))


def gumbel_noise(
    seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike, columns: npt.ArrayLike, *, like: Array
) -> Array:
    """Gumbel noise of a tile, `-log(-log(u))`; adding it to log-probabilities samples from them.

    Arguments and shape are as for `dropout_mask`, the type is that of `like`.
    """
    xp = compat.array_namespace(like)
    u = xp.astype(_words(seed, heads, rows, columns, like) >> 8, like.dtype) * 2.0**-24
    return -xp.log(-xp.log(xp.clip(u, 2.0**-25, None)))  # u = 0 would be infinite


def _words(
    seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike, columns: npt.ArrayLike, like: Array
) -> Array:
    """The hash of every place of a tile: `uint32`, or `int64` in torch, without unsigned sums."""
    xp = compat.array_namespace(like)
    if compat.is_torch_namespace(xp):  # in torch itself, so that it can be traced
        heads, rows, columns = (_integers(xp, places, like) for places in (heads, rows, columns))
        row, column = _row_keys(seed, heads, rows, int), _column_keys(seed, columns, int)
        return lowbias32(row[:, :, None] ^ column, int)
    row, column = xp.asarray(row_keys(seed, heads, rows)), xp.asarray(column_keys(seed, columns))
    return lowbias32(row[:, :, None] ^ column)


def _integers(xp: Any, places: npt.ArrayLike, like: Array) -> Array:
    if isinstance(places, range):
        return xp.arange(places.start, places.stop, places.step, device=device_of(like))
    return xp.asarray(places, dtype=xp.int64, device=device_of(like))
