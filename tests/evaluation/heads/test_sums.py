"""Means of ratios with intervals, from six sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from regard.evaluation.heads.sums import RatioSums


def test_worked_by_hand() -> None:
    """Texts of 1, 2 and 3 queries with sums 1, 1, 1: the mean is 3/6, deviations are 1/2, 0, -1/2.

    The quantile 0.975 of Student's t with two degrees of freedom is 4.3027.
    """
    sums = RatioSums((1,))
    for count in (1.0, 2.0, 3.0):
        sums.add(np.array([1.0]), np.array([count]))
    means = sums.means()
    error = np.sqrt(3 / 2 * (0.25 + 0.0 + 0.25) / 36)
    assert means.mean[0] == 0.5
    assert means.low[0] == pytest.approx(0.5 - 4.302652729696 * error, rel=1e-9)
    assert means.high[0] == pytest.approx(0.5 + 4.302652729696 * error, rel=1e-9)


def test_a_text_without_such_queries_adds_nothing() -> None:
    sums = RatioSums((2,))
    sums.add(np.array([0.5, 0.0]), np.array([1.0, 0.0]))
    sums.add(np.array([0.5, 0.25]), np.array([1.0, 1.0]))
    means = sums.means()
    assert means.mean.tolist() == [0.5, 0.25]
    assert (means.low[0], means.high[0]) == (0.5, 0.5)
    assert np.isnan(means.low[1])
    assert np.isnan(means.high[1])


def test_nothing_at_all_is_nan_without_a_warning() -> None:
    assert np.isnan(RatioSums((3,)).means().mean).all()


def test_going_on_from_saved_sums_is_exact() -> None:
    rng = np.random.default_rng(0)
    texts = [(rng.random(4) * 5, rng.integers(1, 9, 4).astype(float)) for _ in range(7)]
    whole, first = RatioSums((4,)), RatioSums((4,))
    for each in texts:
        whole.add(*each)
    for each in texts[:3]:
        first.add(*each)
    rest = RatioSums((4,), first.sums.copy())
    for each in texts[3:]:
        rest.add(*each)
    assert np.array_equal(whole.sums, rest.sums)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=2, max_size=30))
def test_against_the_definition(texts: list[tuple[float, int]]) -> None:
    share, count = (np.array(side, dtype=float) for side in zip(*texts, strict=True))
    sums = RatioSums(())
    for one, queries in zip(share, count, strict=True):
        sums.add(np.array(one * queries), np.array(queries))
    ratio = (share * count).sum() / count.sum()
    n = len(texts)
    error = np.sqrt(n / (n - 1) * ((share * count - ratio * count) ** 2).sum()) / count.sum()
    means = sums.means()
    assert float(means.mean) == pytest.approx(ratio, abs=1e-12)
    assert float(means.high - means.mean) == pytest.approx(t.ppf(0.975, n - 1) * error, abs=1e-6)


@pytest.mark.parametrize("texts", [4, 60])
def test_intervals_cover_the_truth(texts: int) -> None:
    """Of 400 corpora with a true mean of 0.3, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(1)
    sums = RatioSums((400,))
    for _ in range(texts):
        count = rng.integers(5, 40, 400).astype(float)
        sums.add(count * rng.beta(3, 7, 400), count)
    means = sums.means()
    covered = ((means.low <= 0.3) & (means.high >= 0.3)).mean()
    assert 0.91 <= covered <= 0.98
