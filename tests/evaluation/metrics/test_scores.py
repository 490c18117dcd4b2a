"""Scores with their intervals."""

import numpy as np
import pytest

from regard.evaluation import Score, bootstrap, comparison


def test_a_score_in_one_line_and_as_a_table() -> None:
    score = Score("BLEU", 36.54, (35.31, 37.78), "tok:13a")
    assert str(score) == "BLEU 36.5 (35.3 to 37.8) [tok:13a]"
    assert str(Score("accuracy", 84.0)) == "accuracy 84.0"
    assert score.table().split("\n")[0].split() == ["|", "|", "BLEU", "|"]


def test_systems_side_by_side() -> None:
    table = comparison(
        {"model": [Score("BLEU", 36.5), Score("chrF", 60.0)], "copy": [Score("BLEU", 3.2)]}
    )
    assert table == (
        "|       | BLEU | chrF |\n"
        "|-------|------|------|\n"
        "| model | 36.5 | 60.0 |\n"
        "| copy  | 3.2  |      |"
    )


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    # 400 of 1,000 right: 40 % with a standard error of sqrt(0.4 * 0.6 / 1000) = 1.549 %.
    hits = np.repeat([1.0, 0.0], [400, 600])[:, None]
    low, high = bootstrap(hits, lambda sums: 100 * sums[:, 0] / 1000, samples=4000)
    assert low == pytest.approx(40 - 1.96 * 1.549, abs=0.25)
    assert high == pytest.approx(40 + 1.96 * 1.549, abs=0.25)
    low, high = bootstrap(hits, lambda sums: 100 * sums[:, 0] / 1000, samples=4000, level=0.5)
    assert high - low == pytest.approx(2 * 0.6745 * 1.549, abs=0.2)


def test_the_interval_does_not_depend_on_how_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(101, 1))

    def mean(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / 101

    at_once = bootstrap(values, mean, samples=500, seed=1)
    assert at_once == bootstrap(values, mean, samples=500, seed=1)
    assert at_once != bootstrap(values, mean, samples=500, seed=2)
    loop = np.random.default_rng(1).integers(101, size=(500, 101))
    slow = np.quantile([values[drawn].mean() for drawn in loop], [0.025, 0.975])
    assert at_once == pytest.approx(tuple(slow), rel=1e-12)
    monkeypatch.setattr("regard.evaluation.metrics.scores._AT_ONCE", 101 * 7)
    assert at_once == pytest.approx(bootstrap(values, mean, samples=500, seed=1), rel=1e-12)


def test_no_spread_without_difference() -> None:
    assert bootstrap(np.ones((50, 1)), lambda sums: sums[:, 0] / 50) == (1.0, 1.0)
