"""Operations on vectors against NumPy's on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from regard.compiled import simd
from regard.compiled.call import call_serial
from regard.compiled.jit import compiled


@compiled
def compare(row, threshold, above, at_least):  # type: ignore[no-untyped-def]
    above[0] = simd.mask_above(row, 3, threshold[0])
    at_least[0] = simd.mask_at_least(row, 3, threshold[0])


def test_masks_have_a_bit_for_each_float() -> None:
    row = np.random.default_rng(0).integers(-3, 3, 80).astype(np.float32)
    row[10] = np.nan
    above, at_least = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    call_serial(compare, row, np.zeros(1, np.float32), above, at_least)
    bits = np.arange(simd.MASK_LANES, dtype=np.uint64)
    part = row[3 : 3 + simd.MASK_LANES]
    assert ((above[0] >> bits & np.uint64(1)) == (part > 0)).all()
    assert ((at_least[0] >> bits & np.uint64(1)) == (part >= 0)).all()


@compiled
def rank(rows, lanes, out):  # type: ignore[no-untyped-def]
    lanes[:] = -np.inf
    for start in range(0, rows.size, simd.MASK_LANES):
        simd.raise_lanes(lanes, rows, start)
    for k in range(simd.LANES):
        out[k] = simd.kth_largest_lane(lanes, k + 1)


def test_the_kth_largest_of_lanes_is_that_of_their_maxima() -> None:
    rows = np.random.default_rng(1).integers(0, 9, 4 * simd.MASK_LANES).astype(np.float32)
    lanes, out = np.empty(simd.MASK_LANES, np.float32), np.empty(simd.LANES, np.float32)
    call_serial(rank, rows, lanes, out)
    assert out.tolist() == sorted(rows.reshape(-1, simd.LANES).max(0), reverse=True)


@compiled
def insert_all(scores, values, indices):  # type: ignore[no-untyped-def]
    for i in range(scores.size):
        score, index = scores[i], np.int32(i)
        for start in range(values.size - simd.LANES, 0, -simd.LANES):
            before, index_before = values[start - 1], indices[start - 1]
            simd.insert_lanes(values, indices, start, before, index_before, score, index)
        simd.insert_lanes(values, indices, 0, np.float32(np.inf), np.int32(0), score, index)


@pytest.mark.parametrize("length", [16, 48])
def test_a_list_stays_sorted_and_equals_stay_in_order(length: int) -> None:
    scores = np.random.default_rng(2).integers(0, 30, 300).astype(np.float32)
    values, indices = np.full(length, -np.inf, np.float32), np.zeros(length, np.int32)
    call_serial(insert_all, scores, values, indices)
    order = np.argsort(-scores, kind="stable")[:length]
    assert values.tolist() == scores[order].tolist()
    assert indices.tolist() == order.tolist()


@compiled
def reduce(row, edges, first, parts, sums, maxima, totals):  # type: ignore[no-untyped-def]
    count = min(simd.SEGMENTS, edges.size - 1 - first[0])
    totals[0] = simd.segment_sums(row, edges, first[0], count, parts, sums)
    totals[1] = simd.segment_maxima(row, edges, first[0], count, parts, maxima)


@pytest.mark.parametrize("first", [0, 3, 8])
def test_segments_of_any_length_are_reduced_together(first: int) -> None:
    rng = np.random.default_rng(3)
    edges = 40 + np.cumsum([0, 1, 16, 17, 70, 128, 15, 64, 33, 2, 90, 5])
    row = rng.standard_normal(edges[-1] - 40 + simd.LANES).astype(np.float32)
    parts = rng.standard_normal(simd.SEGMENTS * simd.LANES).astype(np.float32)
    sums, maxima = (np.full(11 + simd.SEGMENTS, 7, np.float32) for _ in range(2))
    totals = np.zeros(2)
    call_serial(reduce, row, edges, np.array([first]), parts, sums, maxima, totals)
    segments = [
        row[a:b].astype(np.float64) for a, b in zip(edges - 40, edges[1:] - 40, strict=False)
    ]
    last = min(first + simd.SEGMENTS, 11)
    expected = segments[first:last]
    np.testing.assert_allclose(sums[first:last], [x.sum() for x in expected], atol=1e-5)
    assert maxima[first:last].tolist() == [x.max() for x in expected]
    np.testing.assert_allclose(totals[0], sum(x.sum() for x in expected), atol=1e-5)
    assert totals[1] == max(x.max() for x in expected)
    for out in (sums, maxima):
        assert (out[:first] == 7).all()
        assert (out[last:] == 7).all()
