"""Erasing tokens, and what it changes, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.evaluation.faithfulness.erasure import (
    ERASURE_METHODS,
    erase_tokens,
    keep_tokens,
    kendall_tau,
    token_counts,
)
from regard.evaluation.faithfulness.verdict import Verdict

TEXT = [10, 11, 12, 13, 14]


def test_deleting_and_masking() -> None:
    assert erase_tokens(TEXT, [1, 3], method="delete", mask_id=1) == [10, 12, 14]
    assert erase_tokens(TEXT, [1, 3], method="mask", mask_id=1) == [10, 1, 12, 1, 14]


def test_a_text_of_which_nothing_is_left_is_one_mask() -> None:
    assert erase_tokens(TEXT, range(5), method="delete", mask_id=1) == [1]


def test_keeping_leaves_special_tokens_where_they_are() -> None:
    # Positions 0 and 4 are special, so not erasable.
    assert keep_tokens(TEXT, [2], [1, 2, 3], method="delete", mask_id=1) == [10, 12, 14]
    assert keep_tokens(TEXT, [2], [1, 2, 3], method="mask", mask_id=1) == [10, 1, 12, 1, 14]


@given(text=st.lists(st.integers(2, 9), min_size=1), data=st.data())
def test_erasing_and_keeping_are_complements(text: list[int], data: st.DataObject) -> None:
    positions = data.draw(st.sets(st.integers(0, len(text) - 1)))
    erased = erase_tokens(text, positions, method="mask", mask_id=1)
    kept = keep_tokens(text, positions, range(len(text)), method="mask", mask_id=1)
    assert [max(pair) for pair in zip(erased, kept, strict=True)] == text
    assert [min(pair) for pair in zip(erased, kept, strict=True)] == [1] * len(text)


def test_every_fraction_has_at_least_one_token() -> None:
    assert token_counts(3, (0.01, 0.5, 1.0)) == [1, 2, 3]


def test_kendall_tau_of_orders() -> None:
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    assert kendall_tau([1, 1, 1], [3, 2, 1]) == 0
    assert kendall_tau([1], [1]) == 0


def test_comprehensiveness_and_sufficiency_by_hand(known: Verdict) -> None:
    # Five fractions of 5 tokens are 1, 1, 1, 1 and 3. Attention has token 9 in all of them; the
    # gradient's first three positions (4, 3, 2) never reach it; random reaches it with 1/5 and 3/5.
    for method in ERASURE_METHODS:
        needed, enough = known.comprehensiveness[method], known.sufficiency[method]
        assert needed.attention.mean == pytest.approx(0.7)
        assert needed.gradient.mean == pytest.approx(0)
        assert needed.random.mean == pytest.approx(0.7 * (4 * 0.2 + 0.6) / 5, abs=0.03)
        assert enough.attention.mean == pytest.approx(0)
        assert enough.gradient.mean == pytest.approx(0.7)
        assert enough.random.mean == pytest.approx(0.7 * (4 * 0.8 + 0.4) / 5, abs=0.03)
        assert needed.over_random.mean == pytest.approx(0.7 - needed.random.mean)
        assert enough.over_random.mean == pytest.approx(enough.random.mean)


def test_leave_one_out_agreement_by_hand(known: Verdict) -> None:
    # Effects are 0.7 at position 1 and 0 elsewhere: attention gives this order; of the four pairs
    # without ties the gradient (4, 3, 2, 1, 0 from the end) has one right and three wrong.
    assert known.agreement["attention"].mean == pytest.approx(1)
    assert known.agreement["gradient"].mean == pytest.approx((1 - 3) / (4 * 10) ** 0.5)
