"""Sums of a comparison, and what may be called news."""

from __future__ import annotations

import numpy as np
import pytest

from regard.evaluation.heads.comparison import LayerSums, news_of
from regard.evaluation.heads.divergence import PairSums, jensen_shannon_distance, pair_sums
from regard.evaluation.metrics.intervals import Interval

RNG = np.random.default_rng(0)


def pair(heads: int, others: int, queries: int = 5) -> tuple[PairSums, np.ndarray]:
    first = RNG.dirichlet(np.ones(4), (heads, queries))
    second = RNG.dirichlet(np.ones(4), (others, queries))
    sums = pair_sums(first, second, free=np.ones(queries, dtype=bool))
    return sums, jensen_shannon_distance(first[:, None], second[None])


def test_means_are_over_all_queries() -> None:
    sums = LayerSums(2, 3, None)
    texts = [pair(2, 3, queries) for queries in (3, 7)]
    for each, _ in texts:
        sums.add(each, None)
    expected = np.concatenate([distances for _, distances in texts], axis=2).mean(axis=2)
    for head in range(2):
        same = sums.same(head, "distance")
        assert same is not None
        assert same.mean == pytest.approx(expected[head, head])
        nearest, distance = sums.nearest(head)
        assert nearest == expected[head].argmin()
        assert distance == pytest.approx(expected[head].min())
    layer = sums.whole("layer")
    assert layer is not None
    assert layer.mean == pytest.approx((expected[0, 0] + expected[1, 1]) / 2)


def test_a_head_that_the_other_lacks_has_no_partner() -> None:
    sums = LayerSums(3, 2, None)
    sums.add(pair(3, 2)[0], None)
    assert sums.same(2, "distance") is None
    assert sums.same(0, "floor") is None
    assert sums.floors() == []


def test_the_difference_is_paired() -> None:
    sums = LayerSums(2, 2, 2)
    found = []
    for _ in range(6):
        first, floor = pair(2, 2), pair(2, 2)
        sums.add(first[0], floor[0])
        found.append((first[1] - floor[1])[1, 1].mean())
    difference = sums.same(1, "difference")
    assert difference is not None
    assert difference.mean == pytest.approx(np.mean(found))
    assert difference.low < difference.mean < difference.high
    assert len(sums.floors()) == 2


def test_a_saved_state_goes_on_exactly() -> None:
    texts = [(pair(2, 2)[0], pair(2, 2)[0]) for _ in range(4)]
    whole, first = LayerSums(2, 2, 2), LayerSums(2, 2, 2)
    for each in texts:
        whole.add(*each)
    for each in texts[:2]:
        first.add(*each)
    rest = LayerSums(2, 2, 2, {name: array.copy() for name, array in first.arrays().items()})
    for each in texts[2:]:
        rest.add(*each)
    for name, array in whole.arrays().items():
        assert np.array_equal(array, rest.arrays()[name]), name


@pytest.mark.parametrize(
    ("mean", "difference", "expected"),
    [
        (0.6, (0.3, 0.25, 0.35), "news"),
        (0.4, (0.1, 0.05, 0.15), "noise"),  # another head of the two seeds differs as much
        (0.6, (0.3, -0.1, 0.7), "noise"),
        (0.1, (-0.2, -0.25, -0.15), "closer"),
        (0.25, (-0.05, -0.06, -0.04), "noise"),
    ],
)
def test_news(mean: float, difference: tuple[float, float, float], expected: str) -> None:
    assert news_of(Interval(mean, mean, mean), Interval(*difference), [0.3, 0.5, 0.2]) == expected


def test_no_news_without_a_floor_or_an_interval() -> None:
    some, nan = Interval(0.6, 0.5, 0.7), float("nan")
    assert news_of(some, None, []) is None
    assert news_of(some, Interval(0.3, nan, nan), [0.3]) is None
