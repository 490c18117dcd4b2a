"""What happens to one row of a tile: the elementwise work between two matrix products.

Scores are in bits (scaled by log2 e), so that `2**x` takes the place of `exp`. Every loop runs over contiguous
float32 with nothing that LLVM cannot vectorise; the numbers in docs/kernel.md say what that is worth.
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


@inlined
def load(source, first, count, out):
    """Copies `count` rows of float32 or bfloat16, both seen as 16-bit words, to float32.

    A bfloat16 is the upper half of a float32.
    """
    words = out.view(np.uint16)
    width = words.shape[1]
    for i in range(count):
        row = assume_contiguous(source[first + i])
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
            target[d] = 0x7FC0
        else:  # to the nearest, ties to even
            nearest = bits[d] + np.uint32(0x7FFF) + ((bits[d] >> np.uint32(16)) & np.uint32(1))
            target[d] = nearest >> np.uint32(16)


@inlined
def forbid(scores, low, high, width):
    """Sets everything of a row of `width` scores outside of `[low, high)` to -inf."""
    for j in range(min(max(low, 0), width)):
        scores[j] = NEGATIVE_INFINITY
    for j in range(max(min(high, width), 0), scores.size):
        scores[j] = NEGATIVE_INFINITY


@inlined
def maxima_of_chunks(scores, edges, parts, out):
    """The largest score of each chunk into `out`; returns the row's. `edges` count from `edges[0]`."""
    most = NEGATIVE_INFINITY
    for c in range(0, out.size, SEGMENTS):
        most = larger(
            most, segment_maxima(scores, edges, c, min(SEGMENTS, out.size - c), parts, out)
        )
    return most


@inlined
def sums_of_chunks(weights, edges, parts, out):
    """The sum of each chunk into `out`; returns the row's."""
    total = 0.0
    for c in range(0, out.size, SEGMENTS):
        total += segment_sums(weights, edges, c, min(SEGMENTS, out.size - c), parts, out)
    return total


@inlined
def any_nan(scores, width):
    """Whether one of a row is no number."""
    found = False
    for j in range(width):
        found |= scores[j] != scores[j]
    return found


@inlined
def exponentials(scores, width, reference):
    """Replaces scores by `2**(score - reference)`; returns the sum of each times its logarithm.

    What stands beyond `width` is -inf up to a multiple of `MASK_LANES`, and becomes 0.
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
def reached_by(scores, width, count, lanes):
    """A score that at least `count` of a row reach, and few more: a bound for an empty list.

    The `count`th largest of the maxima of 16 lanes: as many scores reach it, and rarely two of the
    largest share a lane.
    """
    if count > LANES:
        return NEGATIVE_INFINITY
    lanes[:] = NEGATIVE_INFINITY
    for start in range(0, width, MASK_LANES):
        raise_lanes(lanes, scores, start)
    return kth_largest_lane(lanes, count)


@inlined
def just_below(x):
    """The next float below, that of -inf being itself."""
    return np.nextafter(x, NEGATIVE_INFINITY)


@inlined
def lowest_bits(count):
    """A word whose `count` lowest bits are set, or all 64."""
    every = ~np.uint64(0)
    return every if count >= MASK_LANES else ~(every << np.uint64(count))


@inlined
def keep_largest(scores, first, last, bound, places_from, values, places):
    """Enters the scores `[first, last)` above `bound` into a row's list of largest.

    The list is in descending order; equal scores stay in the order of their places. What enters
    does so without a branch, which the processor would guess wrong.
    """
    for start in range(first, last, MASK_LANES):
        found = mask_above(scores, start, bound) & lowest_bits(last - start)
        while found != 0:
            j = start + count_trailing_zeros(found)
            found &= found - np.uint64(1)
            enter(values, places, scores[j], np.int32(places_from + j))


@inlined
def enter(values, places, score, place):
    """Enters one score into a list."""
    for start in range(values.size - LANES, 0, -LANES):
        insert_lanes(values, places, start, values[start - 1], places[start - 1], score, place)
    insert_lanes(values, places, 0, np.float32(np.inf), np.int32(0), score, place)


@inlined
def mix(x):
    """The hash of `regard.attention.random`, on one word; Numba would widen products to 64 bits."""
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
