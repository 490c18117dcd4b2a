"""Elementwise work on one row of a tile, between two matrix products.

Scores are in bits (scaled by log2 e), so that `2**x` takes the place of `exp`. Every loop runs over
contiguous float32 and holds nothing that LLVM cannot vectorise, no branch and no call; `docs/kernel.md`
and `docs/log.md` say what that is worth.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import assume_contiguous, larger, wide_vectors
from regard.compiled.jit import inlined
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2
from regard.compiled.simd import (
    LANES,
    MASK_LANES,
    SEGMENTS,
    count_trailing_zeros,
    insert_lanes,
    kth_largest_lane,
    mask_above,
    raise_lanes,
    segment_maxima,
    segment_sums,
)

__all__ = [
    "apply_dropout",
    "chunk_maxima",
    "chunk_sums",
    "exp2_row",
    "has_nan",
    "insert_above",
    "load_rows",
    "lowbias32",
    "mask_outside",
    "next_below",
    "store_row",
    "topk_bound",
]

# Copies between the user's arrays and a tile


@inlined
def load_rows(source, first, count, out):
    """Copies `count` rows of float32 or bfloat16, both seen as 16-bit words, to float32."""
    words = out.view(np.uint16)
    width = words.shape[1]
    for i in range(count):
        row = assume_contiguous(source[first + i])
        if row.size == width:
            for d in range(width):
                words[i, d] = row[d]
        else:  # a bfloat16 is the upper half of a float32
            for d in range(row.size):
                words[i, 2 * d] = 0
                words[i, 2 * d + 1] = row[d]


@inlined
def store_row(rows, i, factor, out):
    """Writes `factor * rows[i]` to `out`, a row of float32 or bfloat16 seen as 16-bit words."""
    target = assume_contiguous(out)
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
            target[d] = 0x7FC0  # a NaN: rounding its bits could make them those of infinity
        else:
            # To the nearest, ties to even: half of the last bit kept, less one unless that bit is odd.
            nearest = bits[d] + np.uint32(0x7FFF) + ((bits[d] >> np.uint32(16)) & np.uint32(1))
            target[d] = nearest >> np.uint32(16)


# Scores


@inlined
def mask_outside(scores, low, high, width):
    """Sets the scores outside of `[low, high)` to -inf, and the padding beyond `width`."""
    for j in range(min(max(low, 0), width)):
        scores[j] = NEGATIVE_INFINITY
    for j in range(max(min(high, width), 0), scores.size):
        scores[j] = NEGATIVE_INFINITY


@inlined
def chunk_maxima(scores, edges, parts, out):
    """The largest score of each chunk into `out`; returns the row's. `edges` count from `edges[0]`."""
    row_max = NEGATIVE_INFINITY
    for c in range(0, out.size, SEGMENTS):
        count = min(SEGMENTS, out.size - c)
        row_max = larger(row_max, segment_maxima(scores, edges, c, count, parts, out))
    return row_max


@inlined
def has_nan(scores, width):
    """Whether a score of a row is NaN."""
    found = False
    for j in range(width):
        found |= (
            scores[j] != scores[j]
        )  # without a branch that would end the loop early, it vectorises
    return found


# Weights


@inlined
def exp2_row(scores, width, reference):
    """Replaces scores by weights `2**(score - reference)`; returns the sum of each times its logarithm.

    The padding beyond `width` is -inf up to a multiple of `MASK_LANES`, and becomes 0: the loop needs
    no remainder.
    """
    wide_vectors()
    moment = np.float32(0)
    for j in range((width + MASK_LANES - 1) // MASK_LANES * MASK_LANES):
        x = clamp_exponent(scores[j] - reference)
        e = exp2(x)
        scores[j] = e
        moment += e * x
    return moment


@inlined
def chunk_sums(weights, edges, parts, out):
    """The sum of each chunk into `out`; returns the row's, in float64. `edges` count from `edges[0]`."""
    total = 0.0
    for c in range(0, out.size, SEGMENTS):
        total += segment_sums(weights, edges, c, min(SEGMENTS, out.size - c), parts, out)
    return total


@inlined
def lowbias32(x):
    """The hash of `regard.attention.random`, on one word."""
    # Every step is cast: Numba widens products of uint32 to 64 bits, whose upper bits the shifts would
    # bring down.
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inlined
def apply_dropout(weights, count, row_key, column_keys, threshold):
    """Zeroes the weights whose hash is below `threshold`."""
    wide_vectors()
    for j in range(count):
        kept = lowbias32(np.uint32(row_key ^ column_keys[j])) >= threshold
        weights[j] = weights[j] if kept else np.float32(0)


# The list of largest scores
#
# A row keeps its k largest scores in descending order. A score enters only if it is above a bound, the
# last of the list, which few are after the first tile; the branches that search and insert are what
# costs. So 64 scores are compared at once, only the bits that are set are looked at, and an insertion
# shifts 16 entries without a branch.


@inlined
def topk_bound(scores, width, k, lanes):
    """A bound for an empty list: a score that at least `k` of a row reach, and few more.

    The `k`th largest of the maxima of 16 lanes: as many scores reach it, and rarely two of the largest
    share a lane.
    """
    if k > LANES:
        return NEGATIVE_INFINITY
    lanes[:] = NEGATIVE_INFINITY
    for start in range(0, width, MASK_LANES):
        raise_lanes(lanes, scores, start)
    return kth_largest_lane(lanes, k)


@inlined
def next_below(x):
    """The next float32 below `x`; -inf for -inf."""
    return np.nextafter(x, NEGATIVE_INFINITY)


@inlined
def low_bits(count):
    """A word whose `count` lowest bits are set; all 64 for more."""
    every = ~np.uint64(0)
    return every if count >= MASK_LANES else ~(every << np.uint64(count))


@inlined
def insert_above(scores, first, last, bound, offset, values, indices):
    """Inserts the scores `[first, last)` above `bound` into a row's list of largest.

    Equal scores stay in the order of their keys. `offset` is added to the number of a score to give its key.
    """
    for start in range(first, last, MASK_LANES):
        found = mask_above(scores, start, bound) & low_bits(last - start)
        while found != 0:
            j = start + count_trailing_zeros(found)
            found &= found - np.uint64(1)  # clears the lowest bit that is set
            insert(values, indices, scores[j], np.int32(offset + j))


@inlined
def insert(values, indices, score, index):
    """Inserts one score into a descending list; the last drops out."""
    # From the end, so that a part still finds the entry in front of it unchanged.
    for start in range(values.size - LANES, 0, -LANES):
        insert_lanes(values, indices, start, values[start - 1], indices[start - 1], score, index)
    insert_lanes(values, indices, 0, np.float32(np.inf), np.int32(0), score, index)
