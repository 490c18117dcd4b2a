"""Replacement of unknown words by what they attend to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regard.decoding import Hypothesis, replace_unknown
from regard.text import UNK


def hypothesis() -> Hypothesis:
    attention = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9]])
    return Hypothesis([5, 1], -1.0, [-0.5, -0.4, -0.1], attention)


def test_an_unknown_word_is_the_source_word_it_came_from() -> None:
    tokens, source, ids = ["the", "<unk>"], ["Zyx", "Das"], [UNK, UNK]
    assert replace_unknown(hypothesis(), tokens, source, ids) == ["the", "Zyx"]
    assert replace_unknown(hypothesis(), tokens, source, ids, dictionary={"Zyx": "Zux"})[1] == "Zux"
    as_input = hypothesis().aligned_at("input")
    assert replace_unknown(as_input, tokens, source, ids) == ["the", "Das"]


def test_only_a_source_word_that_is_unknown_itself_is_copied() -> None:
    tokens, source = ["the", "<unk>"], ["das", "Zyx", "Haus"]
    # Row 1 attends to "das" by 0.7, to "Zyx" by 0.2.
    assert replace_unknown(hypothesis(), tokens, source, [7, UNK, 8]) == ["the", "Zyx"]
    assert replace_unknown(hypothesis(), tokens, source, [7, 9, 8]) == tokens
    found = replace_unknown(hypothesis(), tokens, source, [7, UNK, 8], dictionary={"das": "that"})
    assert found == ["the", "that"]


def test_an_unknown_word_without_attention_stays() -> None:
    given_first = replace(hypothesis(), ids=[1, 1], attention=np.diag([0.0, 1, 1]))
    tokens = ["<unk>", "<unk>"]
    assert replace_unknown(given_first, tokens, ["Zyx", "Das"], [UNK, UNK]) == ["<unk>", "Das"]
    assert replace_unknown(hypothesis(), tokens[:2], [], []) == tokens  # nothing was read
