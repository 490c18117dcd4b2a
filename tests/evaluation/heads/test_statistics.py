"""Statistics of heads: worked by hand, and on heads that do exactly one thing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from regard.evaluation.heads.statistics import (
    OFFSETS,
    SHARES,
    STATISTICS,
    TokenAxis,
    head_sums,
    is_punctuation,
)

Matrix = NDArray[np.float64]

PIECES = ["[CLS]", "a", "b", ",", "a", "b", "c", ".", "[SEP]"]
SPECIAL = [True, False, False, False, False, False, False, False, True]
AXIS = TokenAxis.of([0, 5, 6, 7, 5, 6, 8, 9, 1], PIECES, SPECIAL)
N = len(PIECES)


def measured(
    weights: Matrix, axis: TokenAxis = AXIS, *, causal: bool = False, step: int = 100
) -> dict[str, float]:
    """Means of one head by name, `step` rows at a time."""
    tiles = [
        (slice(i, i + step), weights[None, i : i + step]) for i in range(0, len(weights), step)
    ]
    sums = head_sums(tiles, axis, axis, causal=causal, is_self=True)
    return {
        name: float(sums.total[row, 0] / sums.count[row])
        for row, name in enumerate(STATISTICS)
        if sums.count[row]
    }


def one_hot(target: Callable[[int], int]) -> Matrix:
    weights = np.zeros((N, N))
    weights[np.arange(N), [target(i) for i in range(N)]] = 1
    return weights


def test_worked_by_hand() -> None:
    """Three tokens `a b a`, causal; rows (1), (1/4, 3/4), (1/2, 1/4, 1/4)."""
    axis = TokenAxis.of([5, 6, 5], ["a", "b", "a"], [False] * 3)
    weights = np.array([[1, 0, 0], [0.25, 0.75, 0], [0.5, 0.25, 0.25]])
    found = measured(weights, axis, causal=True)
    second = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    third = 1.5 * np.log(2)
    expected = {
        "entropy": (second + third) / 2,
        "normalized_entropy": (second / np.log(2) + third / np.log(3)) / 2,
        "confidence": (0.75 + 0.5) / 2,
        "distance": (0 + 0.25 + (2 * 0.5 + 0.25)) / 3,
        "first": 0.5,
        "sink": 0.5,
        "previous": 0.25,
        "same": 0.25,
        "duplicate": 0.5,  # the second a looks at the first
        "induction": 0.25,  # and at the b that followed it
        "previous_strongest": 0.0,
        "same_strongest": 0.0,
    }
    received = np.array([1.75, 1.0, 0.25]) / 3
    expected["concentration"] = 1 + (received * np.log(received)).sum() / np.log(3)
    assert found == pytest.approx(expected, abs=1e-12)  # next, separators, punctuation: never seen


@pytest.mark.parametrize("name", OFFSETS)
def test_a_planted_position(name: str) -> None:
    by = OFFSETS[name]
    found = measured(one_hot(lambda i: (i + by) % N))  # the ends look at each other
    assert found[name] == found[f"{name}_strongest"] == 1
    assert all(found[other] == 0 for other in OFFSETS if other != name)
    assert found["confidence"] == 1
    assert found["entropy"] == 0


def test_a_planted_sink() -> None:
    found = measured(one_hot(lambda i: 0 if i % 2 else N - 1))
    assert found["sink"] == 1
    assert found["first"] == pytest.approx(3 / 7)
    assert found["separators"] == pytest.approx(4 / 7)
    assert found["previous"] == pytest.approx(0)
    assert found["punctuation"] == 0


def test_planted_duplicate_and_induction() -> None:
    other = {1: 4, 4: 1, 2: 5, 5: 2}
    after = {1: 5, 4: 2, 2: 6, 5: 3}
    duplicate = measured(one_hot(lambda i: other.get(i, 0)))
    induction = measured(one_hot(lambda i: after.get(i, 0)))
    assert (duplicate["duplicate"], duplicate["induction"]) == (1, 0)
    assert (induction["duplicate"], induction["induction"]) == (0, 1)


def test_a_planted_induction_head_of_a_causal_model() -> None:
    """Only the second a and b have seen something: it was followed by b and by the comma."""
    weights = one_hot(lambda i: {4: 2, 5: 3}.get(i, i))
    found = measured(weights, causal=True)
    assert found["induction"] == 1
    assert found["duplicate"] == 0
    assert "next" not in found
    assert "separators" in found


def test_special_tokens_and_punctuation_are_no_words() -> None:
    """Two separators and two commas are no duplicates."""
    pieces = ["[CLS]", ",", "[SEP]", ",", "x", "[SEP]"]
    marks = [True, False, True, False, False, True]
    axis = TokenAxis.of([0, 7, 1, 7, 8, 1], pieces, marks)
    assert axis.punctuation.tolist() == [False, True, False, True, False, False]
    found = measured(np.full((6, 6), 1 / 6), axis)
    assert not {"duplicate", "induction"} & found.keys()


def test_planted_punctuation() -> None:
    assert measured(one_hot(lambda i: 3 if i % 2 else 7))["punctuation"] == 1


@pytest.mark.parametrize("causal", [False, True])
def test_a_uniform_head_has_what_chance_gives(causal: bool) -> None:
    weights = np.tril(np.ones((N, N))) if causal else np.ones((N, N))
    weights /= weights.sum(1, keepdims=True)
    sums = head_sums([(slice(0, N), weights[None])], AXIS, AXIS, causal=causal, is_self=True)
    rows = [STATISTICS.index(name) for name in SHARES]
    np.testing.assert_allclose(sums.total[rows, 0], sums.chance[rows], rtol=1e-12)
    found = measured(weights, causal=causal)
    assert found["normalized_entropy"] == pytest.approx(1)
    if not causal:
        assert found["concentration"] == pytest.approx(0, abs=1e-12)


def test_all_on_one_key_is_wholly_concentrated() -> None:
    assert measured(one_hot(lambda i: 4))["concentration"] == pytest.approx(1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("step", [1, 2, 7])
def test_tiles_change_nothing(causal: bool, step: int) -> None:
    weights = np.random.default_rng(step).random((N, N))
    weights = np.tril(weights) if causal else weights
    weights /= weights.sum(1, keepdims=True)
    whole = measured(weights, causal=causal)
    assert measured(weights, causal=causal, step=step) == pytest.approx(whole, rel=1e-12)


def test_heads_are_independent() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(N), (3, N))
    together = head_sums([(slice(0, N), weights)], AXIS, AXIS, causal=False, is_self=True)
    alone = head_sums([(slice(0, N), weights[1:2])], AXIS, AXIS, causal=False, is_self=True)
    np.testing.assert_allclose(together.total[:, 1:2], alone.total, rtol=1e-12)


def test_cross_attention_has_no_positions() -> None:
    queries = TokenAxis.of([5, 6], ["x", "y"], [False, False])
    weights = np.full((1, 2, N), 1 / N)
    sums = head_sums([(slice(0, 2), weights)], queries, AXIS, causal=False, is_self=False)
    counted = {name for row, name in enumerate(STATISTICS) if sums.count[row]}
    spread = {"entropy", "normalized_entropy", "confidence", "concentration"}
    assert counted == spread | {"first", "separators", "sink", "punctuation"}


@pytest.mark.parametrize(
    ("piece", "expected"),
    [(".", True), (" --", True), ("€", True), ("don't", False), ("3.5", False), ("", False)],
)
def test_punctuation(piece: str, expected: bool) -> None:
    assert is_punctuation(piece) is expected
