"""Times of words by dynamic time warping: hand-made paths, planted attention."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from regard.errors import ShapeError
from regard.integrations.pretrained.word_times import token_starts, warp, word_times
from regard.viewing.data.tokens import Tokens


def cheapest(cost: np.ndarray) -> float:
    """Cost of the cheapest monotonic path, by trying all of them."""
    rows, columns = cost.shape
    best = np.inf
    for steps in itertools.product(((1, 0), (0, 1), (1, 1)), repeat=rows + columns - 2):
        row = column = 0
        total = cost[0, 0]
        for down, along in steps:
            if (row, column) == (rows - 1, columns - 1):
                break
            row, column = row + down, column + along
            if row >= rows or column >= columns:
                total = np.inf
                break
            total += cost[row, column]
        if (row, column) == (rows - 1, columns - 1):
            best = min(best, total)
    return float(best)


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_cheapest(seed: int) -> None:
    cost = np.random.default_rng(seed).standard_normal((3, 4))
    rows, columns = warp(cost)
    assert cost[rows, columns].sum() == pytest.approx(cheapest(cost))
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, 2, 3)
    steps = {*zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True)}
    assert steps <= {(0, 1), (1, 0), (1, 1)}


def test_planted_attention_gives_the_planted_times() -> None:
    begins = [0, 10, 25, 40]
    weights = np.full((2, 4, 60), 0.001)
    for token, (start, end) in enumerate(zip(begins, [*begins[1:], 60], strict=True)):
        weights[:, token, start:end] = 1.0
    np.testing.assert_allclose(token_starts(weights), [0.0, 0.2, 0.5, 0.8])
    weights += np.random.default_rng(0).uniform(0, 0.2, weights.shape)
    np.testing.assert_allclose(token_starts(weights), [0.0, 0.2, 0.5, 0.8], atol=0.021)
    weights[1, :, 33] = 5.0  # a frame that all attend to says nothing
    np.testing.assert_allclose(token_starts(weights), [0.0, 0.2, 0.5, 0.8], atol=0.021)


def test_one_token_begins_at_0_and_constant_weights_are_no_error() -> None:
    assert token_starts(np.ones((1, 1, 20))).tolist() == [0.0]
    assert token_starts(np.ones((2, 3, 20))).shape == (3,)
    with pytest.raises(ShapeError, match=r"expected \(heads, tokens, frames\)"):
        token_starts(np.ones((3, 20)))


def test_words_begin_with_their_first_piece_and_end_where_the_next_begins() -> None:
    tokens = Tokens(
        ("<|en|>", " un", "likely", " so", "."),
        " unlikely so.",
        ((0, 0), (1, 3), (3, 9), (10, 12), (12, 13)),
        (True, False, False, False, False),
    )
    found = word_times(tokens, [0.0, 0.1, 0.3, 0.5, 0.9], 1.2)
    assert [(w.word, w.start, w.end) for w in found] == [
        ("unlikely", 0.1, 0.5),
        ("so", 0.5, 0.9),
        (".", 0.9, 1.2),
    ]
