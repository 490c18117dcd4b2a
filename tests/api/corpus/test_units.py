"""Units that models with different tokens have in common."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from regard.api.corpus.units import common_units, equal_tokens, merged
from regard.viewing import Tokens

TEXT = "The unlikely cat."
PIECES = Tokens(
    ("[CLS]", "the", "un", "##likely", "cat", ".", "[SEP]"),
    TEXT,
    ((0, 0), (0, 3), (4, 6), (6, 12), (13, 16), (16, 17), (0, 0)),
)
SPACED = Tokens(
    ("The", " unlike", "ly", " cat", "."), TEXT, ((0, 3), (3, 10), (10, 12), (12, 16), (16, 17))
)


def test_words_that_begin_a_token_of_both() -> None:
    units = common_units([PIECES, SPACED])
    assert units is not None
    assert units[0].of_token == (-1, 0, 1, 1, 2, 3, -1)
    assert units[1].of_token == (0, 1, 1, 2, 3)
    assert units[0].count == units[1].count == 4


def test_a_token_over_two_words_joins_them() -> None:
    wide = Tokens(("The unlikely", " cat."), TEXT, ((0, 12), (12, 17)))
    units = common_units([PIECES, wide])
    assert units is not None
    assert units[0].of_token == (-1, 0, 0, 0, 1, 1, -1)
    assert units[1].of_token == (0, 1)


def test_a_text_that_one_cuts_short_has_none() -> None:
    assert common_units([PIECES, SPACED.take(range(4))]) is None
    assert common_units([PIECES, SPACED.take([])]) is None


def test_rows_still_sum_to_1_and_special_tokens_are_one_key() -> None:
    units = common_units([PIECES, SPACED])
    assert units is not None
    weights = np.random.default_rng(0).dirichlet(np.ones(7), (2, 7))
    found = merged(weights, units[0], units[0])
    assert found.shape == (2, 4, 5)
    assert_allclose(found.sum(axis=2), 1)
    assert_allclose(found[:, 0, 4], weights[:, 1, 0] + weights[:, 1, 6])
    assert_allclose(found[:, 1, 1], weights[:, 2:4, 2:4].sum(axis=2).mean(axis=1))


def test_equal_tokens() -> None:
    assert equal_tokens(PIECES, PIECES)
    assert not equal_tokens(PIECES, SPACED)
