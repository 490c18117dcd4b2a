"""Scores of words: what a full bar means, and how they are ordered, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from regard.errors import InputError, ShapeError
from regard.viewing import Tokens
from regard.viewing.data.explanation import Attribution, Explanation, probability_after
from regard.viewing.data.summary import full_share


def attribution(*values: float, signed: bool = True, name: str = "n-grams") -> Attribution:
    return Attribution(name, np.array(values), signed, "what they are")


def test_small_scores_do_not_fill_their_bars() -> None:
    assert attribution(0.01, 0.01, -0.02).full == 1.0
    assert attribution(0.5, -3.0, np.nan).full == 3.0
    np.testing.assert_allclose(attribution(0.5, -3.0, np.nan).levels, [1 / 6, -1, 0])
    assert attribution(np.nan).scale == "full bar: 1.00 in log-odds"


def test_nearly_equal_shares_do_not_fill_their_bars() -> None:
    even = attribution(*[0.05] * 20, signed=False)
    assert even.full == pytest.approx(0.2)
    assert even.levels.max() == pytest.approx(0.25)
    assert even.scale == "full bar: 20.0%; an even share is 5.0%"
    assert full_share(np.array([0.5, 0.5])) == 1.0
    assert full_share(np.array([])) == 1.0


def test_words_are_ordered_by_size_and_those_not_measured_are_last() -> None:
    assert attribution(0.5, np.nan, -2.0, 0.5).ranking() == [2, 0, 3, 1]


def test_an_explanation_has_a_score_for_every_word() -> None:
    tokens = Tokens.of(["a", "b"])
    explanation = Explanation(tokens, "x", 0.5, (attribution(1, 2),), "")
    assert explanation["n-grams"] is explanation.front
    with pytest.raises(InputError, match="did you mean 'n-grams'"):
        explanation["ngrams"]
    with pytest.raises(ShapeError, match="2 words"):
        Explanation(tokens, "x", 0.5, (attribution(1, 2, 3),), "")
    with pytest.raises(InputError, match="at least one"):
        Explanation(tokens, "x", 0.5, (), "")


def test_probabilities_after_a_fall_of_the_log_odds() -> None:
    assert probability_after(0.5, 0.0) == 0.5
    assert probability_after(0.8, float(np.log(4))) == pytest.approx(0.5)
    assert probability_after(1.0, 3.0) == 1.0
    assert probability_after(0.0, -3.0) == 0.0
