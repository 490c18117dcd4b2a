"""Replacement of unknown words by what they attend to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regard.decoding import Hypothesis, replace_unknown


def hypothesis() -> Hypothesis:
    attention = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9]])
    return Hypothesis([5, 1], -1.0, [-0.5, -0.4, -0.1], attention)


def test_an_unknown_word_is_the_source_word_it_came_from() -> None:
    tokens, source = ["the", "<unk>"], ["Zyx", "das"]
    assert replace_unknown(hypothesis(), tokens, source) == ["the", "Zyx"]
    assert replace_unknown(hypothesis(), tokens, source, dictionary={"Zyx": "Zux"})[1] == "Zux"
    assert replace_unknown(hypothesis(), tokens, source, reading="input") == ["the", "das"]


def test_an_unknown_word_without_attention_stays() -> None:
    given_first = replace(hypothesis(), ids=[1, 1], attention=np.diag([0.0, 1, 1]))
    tokens = ["<unk>", "<unk>"]
    assert replace_unknown(given_first, tokens, ["Zyx", "das"]) == ["<unk>", "das"]
    assert replace_unknown(hypothesis(), tokens[:2], []) == tokens  # nothing was read
