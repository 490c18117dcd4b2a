"""Random numbers that belong to a place in the matrix.

Dropout and Gumbel noise for query `i` and key `j` of head `h` come from a hash of (seed, h, i, j), not
from a generator with state. So they are the same whatever the tiling, the number of threads or the array
library, and a backward pass makes them again instead of keeping a matrix of them.

All arithmetic is on 32-bit integers that wrap around, which NumPy, torch, JAX and a compiled kernel do
alike, bit for bit::

    mix(x):  x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
    s = mix(mix(low word of seed) + high word of seed)
    r = mix(mix(s + head * 0x9e3779b1) + row * 0x85ebca77)
    u = mix(r + column * 0xc2b2ae3d)                 # head counts batch * heads + head
    uniform = (u >> 8) * 2**-24                       # in [0, 1)

`mix` is the finaliser "lowbias32" (Wellons 2018); every `>>` shifts in zeros.
"""

from __future__ import annotations

from typing import Any

from regard.attention.arrays import device_of, namespace
from regard.shapes import Array, Bool, Float

__all__ = ["gumbel", "keep", "seed_word", "uniform"]

_HEAD, _ROW, _COLUMN = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_MULTIPLY = (0x7FEB352D, 0x846CA68B)


def seed_word(seed: int) -> int:
    """The 32-bit word `s` that stands for a seed of up to 64 bits."""
    return _mix_int(_mix_int(seed & 0xFFFFFFFF) + (seed >> 32))


def uniform(like: Array, *, seed: int, first_row: int = 0) -> Float[Array, "batch heads rows keys"]:
    """Numbers in [0, 1), one for each place of some rows of the matrix.

    Args:
        like: `(batch, heads, rows, keys)`; its shape, type and device are taken.
        seed: an integer; two seeds give unrelated numbers.
        first_row: the query that the first row belongs to.
    """
    xp, device = namespace(like=like), device_of(like)
    batch, heads, rows, keys = like.shape

    def count(start: int, length: int) -> Array:
        return xp.astype(xp.arange(start, start + length, device=device), xp.int32)

    def times(x: Array, factor: int) -> Array:
        return x * xp.asarray(_signed(factor), dtype=xp.int32, device=device)

    head = xp.reshape(count(0, batch * heads), (batch, heads, 1, 1))
    row, column = count(first_row, rows)[:, None], count(0, keys)
    word = xp.asarray(_signed(seed_word(seed)), dtype=xp.int32, device=device)
    bits = _mix(xp, times, times(head, _HEAD) + word)
    bits = _mix(xp, times, bits + times(row, _ROW))
    bits = _mix(xp, times, bits + times(column, _COLUMN))
    return xp.astype(_shift(bits, 8), like.dtype) * 2.0**-24


def keep(like: Array, probability: float, *, seed: int, first_row: int = 0) -> Bool[Array, "..."]:
    """Which weights survive dropout: each with probability `1 - probability`."""
    return uniform(like, seed=seed, first_row=first_row) >= probability


def gumbel(like: Array, *, seed: int, first_row: int = 0) -> Float[Array, "batch heads rows keys"]:
    """Gumbel noise, `-log(-log(u))`; adding it to log-probabilities and taking the best samples."""
    xp = namespace(like=like)
    u = uniform(like, seed=seed, first_row=first_row)
    return -xp.log(-xp.log(xp.clip(u, 2.0**-25, None)))


def _mix(xp: Any, times: Any, x: Array) -> Array:
    x = times(x ^ _shift(x, 16), _MULTIPLY[0])
    x = times(x ^ _shift(x, 15), _MULTIPLY[1])
    return x ^ _shift(x, 16)


def _shift(x: Array, by: int) -> Array:
    """`x >> by` with zeros shifted in, though the type is signed."""
    return (x >> by) & ((1 << (32 - by)) - 1)


def _mix_int(x: int) -> int:
    x &= 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * _MULTIPLY[0]) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * _MULTIPLY[1]) & 0xFFFFFFFF
    return x ^ (x >> 16)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word
