"""Alignment error rate by hand and as a property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import ShapeError
from regard.evaluation.alignment.error_rate import alignment_error_rate
from regard.evaluation.alignment.gold import Gold, parse_gold

link = st.tuples(st.integers(0, 6), st.integers(0, 6))


def test_error_rate_by_hand():
    # A = 3 links: one sure, one only possible, one wrong; S = 2, of which one was found.
    gold = Gold(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (2, 1)}))
    score = alignment_error_rate([{(0, 0), (2, 1), (2, 2)}], [gold])
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(1 / 2)
    assert score.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert str(score) == "AER 40.0 (precision 66.7, recall 50.0, 3 links)"


def test_sums_over_the_corpus_before_dividing():
    one = Gold(frozenset({(0, 0)}), frozenset({(0, 0)}))
    three = Gold(frozenset({(0, 0), (1, 1), (2, 2)}), frozenset({(0, 0), (1, 1), (2, 2)}))
    score = alignment_error_rate([{(0, 0)}, set()], [one, three])
    assert score.error_rate == pytest.approx(1 - 2 / 5)


@given(sure=st.frozensets(link), extra=st.frozensets(link), predicted=st.frozensets(link))
def test_error_rate_lies_between_zero_and_one(sure, extra, predicted):
    gold = Gold(sure, sure | extra)
    assert 0 <= alignment_error_rate([predicted], [gold]).error_rate <= 1
    if sure:
        assert alignment_error_rate([sure], [gold]).error_rate == 0


def test_different_numbers_of_sentence_pairs_are_refused():
    with pytest.raises(ShapeError, match="1 predicted alignments for 2 gold"):
        alignment_error_rate([set()], [parse_gold(""), parse_gold("")])
