"""The arithmetic of faithfulness by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.evaluation.faithfulness.measures import (
    budgets,
    erase,
    interval,
    keep,
    rank_agreement,
    ranking,
    total_variation,
    without,
)

TEXT = [10, 11, 12, 13, 14]


def test_deleting_and_masking():
    assert erase(TEXT, [1, 3], way="delete", mask_id=1) == [10, 12, 14]
    assert erase(TEXT, [1, 3], way="mask", mask_id=1) == [10, 1, 12, 1, 14]


def test_a_text_of_which_nothing_is_left_is_one_mask():
    assert erase(TEXT, range(5), way="delete", mask_id=1) == [1]


def test_keeping_leaves_special_tokens_where_they_are():
    # Places 0 and 4 are special, so not candidates.
    assert keep(TEXT, [2], [1, 2, 3], way="delete", mask_id=1) == [10, 12, 14]
    assert keep(TEXT, [2], [1, 2, 3], way="mask", mask_id=1) == [10, 1, 12, 1, 14]


@given(text=st.lists(st.integers(2, 9), min_size=1), data=st.data())
def test_erasing_and_keeping_are_complements(text, data):
    places = data.draw(st.sets(st.integers(0, len(text) - 1)))
    erased = erase(text, places, way="mask", mask_id=1)
    kept = keep(text, places, range(len(text)), way="mask", mask_id=1)
    assert [max(pair) for pair in zip(erased, kept, strict=True)] == text
    assert [min(pair) for pair in zip(erased, kept, strict=True)] == [1] * len(text)


def test_ranking_orders_only_the_candidates():
    assert ranking([0.1, 0.9, 0.5, 0.5], [0, 2, 3]) == [2, 3, 0]


def test_budgets_hold_at_least_one_token():
    assert budgets(3, (0.01, 0.5, 1.0)) == [1, 2, 3]


def test_weights_left_are_scaled_up():
    np.testing.assert_allclose(without(np.array([[0.5, 0.3, 0.2]]), [0]), [[0, 0.6, 0.4]])
    np.testing.assert_array_equal(without(np.array([[1.0, 0.0]]), [0]), [[0, 0]])


def test_total_variation_by_hand():
    assert total_variation([0.7, 0.3], [0.2, 0.8]) == pytest.approx(0.5)
    np.testing.assert_allclose(total_variation([[1, 0], [0.5, 0.5]], [0, 1]), [1, 0.5])


def test_rank_agreement():
    assert rank_agreement([1, 2, 3], [10, 20, 30]) == 1
    assert rank_agreement([1, 2, 3], [3, 2, 1]) == -1
    assert rank_agreement([1, 1, 1], [3, 2, 1]) == 0
    assert rank_agreement([1], [1]) == 0


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    samples = rng.normal(1, 2, size=(200, 60))
    inside = [one.low <= 1 <= one.high for one in (interval(s, resamples=200) for s in samples)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.05)
    assert interval(samples[0]).mean == pytest.approx(samples[0].mean())
