"""What happens to one row of a tile: the elementwise work between two matrix products.

Scores are in bits (scaled by log2 e), so that `2**x` takes the place of `exp`. Every loop runs over contiguous
float32 with nothing that LLVM cannot vectorise; the numbers in docs/kernel.md say what that is worth.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from regard.attention.kernels.compiling import (
    above,
    bits_as_float,
    contiguous,
    count_trailing_zeros,
    float_as_bits,
    inlined,
    larger,
    round_to_even,
    wide_vectors,
)

WINDOW = 64
"""Scores that `above` looks at together; rows of a tile are allocated in multiples of it."""

NOTHING = np.float32(-np.inf)
LOWEST = np.float32(-127)
ONE = np.float32(1)

# 2**f = 1 + f (C1 + f (C2 + ...)) on [-1/2, 1/2], least squares at Chebyshev nodes: relative error 2e-9.
C1, C2, C3 = np.float32(0.693147206), np.float32(0.240226485), np.float32(0.0555032904)
C4, C5, C6 = np.float32(0.00961837325), np.float32(0.00133998483), np.float32(0.000153707048)


@inlined
def floor_at_lowest(x):
    """`max(x, -127)`, which keeps a NaN."""
    return x if not (x < LOWEST) else LOWEST


@inlined
def exp2(x):
    """`2**x` for x in [-127, 127]; exactly 0 at -127, exactly 1 at 0.

    The whole part goes into the exponent's bits and the rest through a polynomial.
    """
    whole = round_to_even(x)
    f = x - whole
    p = ONE + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return bits_as_float(float_as_bits(p) + (np.int32(whole) << np.int32(23)))


@inlined
def load(source, first, count, out):
    """Copies `count` rows of float32 or bfloat16, both seen as 16-bit words, to float32.

    A bfloat16 is the upper half of a float32.
    """
    words = out.view(np.uint16)
    width = words.shape[1]
    for i in range(count):
        row = contiguous(source[first + i])
        if row.size == width:
            for d in range(width):
                words[i, d] = row[d]
        else:
            for d in range(row.size):
                words[i, 2 * d] = 0
                words[i, 2 * d + 1] = row[d]


@inlined
def store(rows, i, factor, out):
    """Writes `factor * rows[i]` to `out`, a row of float32 or bfloat16 seen as 16-bit words."""
    target = contiguous(out)
    scaled = rows[i]
    for d in range(scaled.size):
        scaled[d] *= factor
    words = scaled.view(np.uint16)
    if target.size == words.size:
        for d in range(words.size):
            target[d] = words[d]
        return
    bits = scaled.view(np.uint32)
    for d in range(scaled.size):
        if scaled[d] != scaled[d]:
            target[d] = 0x7FC0
        else:  # to the nearest, ties to even
            nearest = bits[d] + np.uint32(0x7FFF) + ((bits[d] >> np.uint32(16)) & np.uint32(1))
            target[d] = nearest >> np.uint32(16)


@inlined
def forbid(scores, low, high, width):
    """Sets everything of a row of `width` scores outside of `[low, high)` to -inf."""
    for j in range(min(max(low, 0), width)):
        scores[j] = NOTHING
    for j in range(max(min(high, width), 0), scores.size):
        scores[j] = NOTHING


@inlined
def maxima_of_chunks(scores, edges, out):
    """The largest score of each chunk into `out`; returns the row's. `edges` count from `edges[0]`."""
    wide_vectors()
    most = NOTHING
    for c in range(out.size):
        part = scores[edges[c] - edges[0] : edges[c + 1] - edges[0]]
        largest = NOTHING
        for j in range(part.size):
            largest = larger(largest, part[j])
        out[c] = largest
        most = larger(most, largest)
    return most


@inlined
def exponentials(scores, edges, reference, out):
    """Replaces scores by `2**(score - reference)`, and puts the sum of each chunk into `out`.

    Returns their sum, and the sum of each times its logarithm.
    """
    wide_vectors()
    total, moment = 0.0, 0.0
    for c in range(out.size):
        part = scores[edges[c] - edges[0] : edges[c + 1] - edges[0]]
        mass, times_log = np.float32(0), np.float32(0)
        for j in range(part.size):
            x = floor_at_lowest(part[j] - reference)
            e = exp2(x)
            part[j] = e
            mass += e
            times_log += e * x
        out[c] = mass
        total += mass
        moment += times_log
    return total, moment


@inlined
def expect_largest(maxima, values):
    """Begins an empty list with a bound: with as many chunks as places, all end above the least maximum.

    It spares the list most of what the first tile would enter and soon drop. The bound's own places
    are never seen, since as many scores as the list is long are above it.
    """
    if values[0] == NOTHING and maxima.size >= values.size:
        least = maxima[0]
        for c in range(1, maxima.size):
            least = min(least, maxima[c])
        if least != NOTHING:
            below = np.nextafter(least, NOTHING)
            for k in range(values.size):
                values[k] = below


@inlined
def keep_largest(scores, width, first, values, places):
    """Enters the scores of a tile into a row's list of largest, which is in descending order.

    `above` finds the few that beat the list's last, 64 at a time. Equal scores stay in the order of
    their places.
    """
    last = values.size - 1
    for start in range(0, width, WINDOW):
        candidates = above(scores, start, values[last])
        while candidates != 0:
            j = start + count_trailing_zeros(candidates)
            candidates &= candidates - np.uint64(1)
            score = scores[j]
            if score > values[last]:
                slot = last
                while slot > 0 and values[slot - 1] < score:
                    values[slot] = values[slot - 1]
                    places[slot] = places[slot - 1]
                    slot -= 1
                values[slot] = score
                places[slot] = first + j


@inlined
def mix(x):
    """The hash of `regard.attention.noise`, on one word; Numba would widen products to 64 bits."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inlined
def drop(weights, count, row_key, column_keys, threshold):
    """Dropout: zeroes the weights whose hash is below `threshold`."""
    wide_vectors()
    for j in range(count):
        kept = mix(np.uint32(row_key ^ column_keys[j])) >= threshold
        weights[j] = weights[j] if kept else np.float32(0)
