"""Bootstrap intervals against the normal distribution, a plain loop, and their coverage."""

import numpy as np
import pytest

from regard.evaluation import bootstrap, mean_interval


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    # 400 of 1,000 right: 40 % with a standard error of sqrt(0.4 * 0.6 / 1000) = 1.549 %.
    hits = np.repeat([1.0, 0.0], [400, 600])[:, None]
    low, high = bootstrap(hits, lambda sums: 100 * sums[:, 0] / 1000, resamples=4000)
    assert low == pytest.approx(40 - 1.96 * 1.549, abs=0.25)
    assert high == pytest.approx(40 + 1.96 * 1.549, abs=0.25)
    low, high = bootstrap(
        hits, lambda sums: 100 * sums[:, 0] / 1000, resamples=4000, confidence_level=0.5
    )
    assert high - low == pytest.approx(2 * 0.6745 * 1.549, abs=0.2)


def test_the_interval_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(101, 1))

    def mean(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / 101

    at_once = bootstrap(values, mean, resamples=500, seed=1)
    assert at_once == bootstrap(values, mean, resamples=500, seed=1)
    assert at_once != bootstrap(values, mean, resamples=500, seed=2)
    loop = np.random.default_rng(1).integers(101, size=(500, 101))
    slow = np.quantile([values[drawn].mean() for drawn in loop], [0.025, 0.975])
    assert at_once == pytest.approx(tuple(slow), rel=1e-12)
    monkeypatch.setattr("regard.evaluation.metrics.intervals._MAX_DRAWS", 101 * 7)
    assert at_once == pytest.approx(bootstrap(values, mean, resamples=500, seed=1), rel=1e-12)


def test_equal_examples_have_an_interval_of_zero_width() -> None:
    assert bootstrap(np.ones((50, 1)), lambda sums: sums[:, 0] / 50) == (1.0, 1.0)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    samples = rng.normal(1, 2, size=(200, 60))
    intervals = [mean_interval(sample, resamples=200) for sample in samples]
    inside = [one.low <= 1 <= one.high for one in intervals]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.05)
    assert mean_interval(samples[0]).mean == pytest.approx(samples[0].mean())
