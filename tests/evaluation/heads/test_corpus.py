"""Sums of a site over texts: values by head, and saved states."""

from __future__ import annotations

import numpy as np
import pytest

from regard.evaluation.heads.corpus import SiteSums
from regard.evaluation.heads.links import link_sums
from regard.evaluation.heads.statistics import TextSums, TokenAxis, head_sums


def text(length: int, seed: int) -> TextSums:
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 9, length).tolist()
    axis = TokenAxis.of(ids, [f"w{i}" for i in ids], [False] * length)
    weights = rng.dirichlet(np.ones(length), (2, length))
    return head_sums([(slice(0, length), weights)], axis, axis, causal=False, is_self=True)


def test_means_are_over_all_queries() -> None:
    texts = [text(length, length) for length in (5, 9, 4)]
    sums = SiteSums(2)
    for each in texts:
        sums.add(each)
    values = sums.values()[1]["entropy"]
    total = sum(each.total[0, 1] for each in texts)
    assert values.mean == pytest.approx(total / (5 + 9 + 4))
    assert values.low < values.mean < values.high


def test_shares_have_chance_and_stay_between_0_and_1() -> None:
    sums = SiteSums(2)
    for length in (5, 9, 4):
        sums.add(text(length, length))
    values = sums.values()[0]
    assert values["previous"].chance == pytest.approx((3 / 5 + 7 / 9 + 2 / 4) / (3 + 7 + 2))
    assert np.isnan(values["entropy"].chance)
    assert all(
        v.low >= 0 and (v.high <= 1 or n in ("entropy", "distance")) for n, v in values.items()
    )
    assert "separators" not in values
    assert "links" not in values


def test_links_have_the_best_position_beside_them() -> None:
    sums = SiteSums(1)
    weights = np.zeros((1, 3, 3))
    weights[0, [0, 1, 2], [1, 2, 0]] = 1
    base = text(3, 0)
    one_head = TextSums(base.total[:, :1], base.count, base.chance)
    for _ in range(2):
        sums.add(one_head, link_sums(weights, {0: [1], 1: [2], 2: [0]}, is_self=True))
    value = sums.values()[0]["links"]
    assert (value.mean, value.low, value.high) == (1, 1, 1)
    assert value.chance == pytest.approx(2 / 3)  # always the next word


def test_a_saved_state_goes_on_exactly() -> None:
    whole, first = SiteSums(2), SiteSums(2)
    for seed in range(6):
        whole.add(text(6, seed))
    for seed in range(3):
        first.add(text(6, seed))
    rest = SiteSums(2, {name: array.copy() for name, array in first.arrays().items()})
    for seed in range(3, 6):
        rest.add(text(6, seed))
    for name, array in whole.arrays().items():
        assert np.array_equal(array, rest.arrays()[name]), name
