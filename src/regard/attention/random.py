"""Counter-based random numbers: a function of a seed and a position, not of the order of draws.

Whether the weight of (head, row, column) is dropped is a hash of these three numbers and a seed.
So one seed drops the same weights whatever the tiling, the number of threads, the order of the tiles
or the array library, and a backward pass recomputes the dropout mask instead of storing it. Gumbel
noise comes from the same hash.

Every row and every column has a 32-bit key, and an element is the hash of their xor::

    row_key    = hash(hash(hash(hash(seed_low) + seed_high) + head) + row)
    column_key = hash(hash(seed_low ^ GOLDEN_RATIO) + column)
    kept       = hash(row_key ^ column_key) >= rate * 2**32

`hash` is Wellons' `lowbias32` (https://nullprogram.com/blog/2018/07/31/): each output bit flips with a
probability near one half when an input bit flips. Keys are joined by xor rather than by a sum: with a
sum, the mask of one row would be a shifted copy of another's wherever two row keys lie close together.

`head` counts over batch and heads: `batch_index * heads + head_index`.

`lowbias32` here is for arrays. A compiler needs it in its own language, so `kernels.fused.rowwise` has
it for Numba and `kernels.cuda.triton_kernels` for Triton; tests hold the three equal.
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

__all__ = [
    "column_keys",
    "drop_threshold",
    "dropout_mask",
    "gumbel_noise",
    "lowbias32",
    "row_keys",
]

GOLDEN_RATIO = 0x9E3779B9
"""`2**32` divided by the golden ratio: sets the keys of columns apart from those of rows."""

WORD_MASK = 0xFFFFFFFF

Keys = npt.NDArray[np.uint32]

Constant = Callable[[int], Any]
"""Makes a constant of the hash: `np.uint32` for `uint32` arrays, `int` for 64-bit integers."""


def lowbias32(x: Any, constant: Constant = np.uint32) -> Any:
    """Hash 32-bit words by Wellons' `lowbias32`, a bijection.

    Args:
        x: `uint32`, or signed 64-bit integers below `2**32` (torch has no unsigned arithmetic).
        constant: `np.uint32`, or `int` for 64-bit integers.

    >>> import numpy as np
    >>> [hex(int(word)) for word in lowbias32(np.arange(3, dtype=np.uint32))]
    ['0x0', '0x688990c0', '0xd1132181']
    """
    # 64-bit products are masked back to 32 bits; uint32 ones wrap by themselves.
    x = x ^ (x >> 16)
    x = (x * constant(0x7FEB352D)) & constant(WORD_MASK)
    x = x ^ (x >> 15)
    x = (x * constant(0x846CA68B)) & constant(WORD_MASK)
    return x ^ (x >> 16)


def row_keys(seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike) -> Keys:
    """The keys of rows: `(len(heads), len(rows))`."""
    by_head, by_row = (np.asarray(indices).astype(np.uint32) for indices in (heads, rows))
    return np.asarray(_row_keys(seed, by_head, by_row, np.uint32))


def column_keys(seed: int, columns: npt.ArrayLike) -> Keys:
    """The keys of columns: `(len(columns),)`."""
    return np.asarray(_column_keys(seed, np.asarray(columns).astype(np.uint32), np.uint32))


def _row_keys(seed: int, heads: Any, rows: Any, constant: Constant) -> Any:
    # Python's integers hash the seed, whatever the library of the arrays.
    start = lowbias32(
        (lowbias32(seed & WORD_MASK, int) + (seed >> 32 & WORD_MASK)) & WORD_MASK, int
    )
    by_head = lowbias32((heads + constant(start)) & constant(WORD_MASK), constant)
    return lowbias32((by_head[:, None] + rows) & constant(WORD_MASK), constant)


def _column_keys(seed: int, columns: Any, constant: Constant) -> Any:
    start = lowbias32((seed & WORD_MASK) ^ GOLDEN_RATIO, int)
    return lowbias32((columns + constant(start)) & constant(WORD_MASK), constant)


def drop_threshold(rate: float) -> int:
    """The word below which a weight is dropped."""
    return min(math.floor(rate * 2.0**32), WORD_MASK)


def dropout_mask(
    seed: int,
    heads: npt.ArrayLike,
    rows: npt.ArrayLike,
    columns: npt.ArrayLike,
    *,
    rate: float,
    like: Array,
) -> Array:
    """The weights of a tile that dropout keeps, as a Boolean array of the library of `like`.

    Args:
        seed: any integer of up to 64 bits.
        heads: indices counted over batch and heads.
        rows: query positions.
        columns: key positions.
        rate: probability that a weight is dropped, in [0, 1).
        like: an array of the library and on the device of the answer.

    Returns:
        `(len(heads), len(rows), len(columns))`, `True` where the weight is kept.
    """
    words = _hash_words(seed, heads, rows, columns, like)
    xp = compat.array_namespace(like)
    return words >= xp.asarray(drop_threshold(rate), dtype=words.dtype, device=device_of(words))


def gumbel_noise(
    seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike, columns: npt.ArrayLike, *, like: Array
) -> Array:
    """Gumbel noise of a tile, `-log(-log(u))`; adding it to log-probabilities samples from them.

    Arguments and shape are those of `dropout_mask`, the type is that of `like`.
    """
    xp = compat.array_namespace(like)
    u = xp.astype(_hash_words(seed, heads, rows, columns, like) >> 8, like.dtype) * 2.0**-24
    return -xp.log(-xp.log(xp.clip(u, 2.0**-25, None)))  # u = 0 would be infinite


def _hash_words(
    seed: int, heads: npt.ArrayLike, rows: npt.ArrayLike, columns: npt.ArrayLike, like: Array
) -> Array:
    """The hash of each element of a tile: `uint32`, or `int64` in torch, without unsigned sums."""
    xp = compat.array_namespace(like)
    if compat.is_torch_namespace(xp):  # in torch itself, so that it can be traced
        heads, rows, columns = (_integers(xp, indices, like) for indices in (heads, rows, columns))
        row, column = _row_keys(seed, heads, rows, int), _column_keys(seed, columns, int)
        return lowbias32(row[:, :, None] ^ column, int)
    row, column = xp.asarray(row_keys(seed, heads, rows)), xp.asarray(column_keys(seed, columns))
    return lowbias32(row[:, :, None] ^ column)


def _integers(xp: Any, indices: npt.ArrayLike, like: Array) -> Array:
    if isinstance(indices, range):
        return xp.arange(indices.start, indices.stop, indices.step, device=device_of(like))
    return xp.asarray(indices, dtype=xp.int64, device=device_of(like))
