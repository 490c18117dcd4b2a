"""The parts of decoding, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.decoding import DecodingSettings, Hypothesis, length_penalty, replace_unknown
from regard.decoding.constraints import repeated_ngrams
from regard.decoding.sample import truncated
from regard.errors import SettingsError


def test_length_penalty_by_hand() -> None:
    assert length_penalty(7, 0.0) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(1, 0.6) == 1.0


def test_top_k_and_nucleus_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()

    def kept(top_k: int, top_p: float) -> list[bool]:
        return truncated(scores, top_k, top_p)[0].isfinite().tolist()

    assert kept(0, 1.0) == [True, True, True, True]
    assert kept(2, 1.0) == [False, True, True, False]
    assert kept(9, 1.0) == [True, True, True, True]
    assert kept(0, 0.39) == [False, True, False, False]
    assert kept(0, 0.65) == [False, True, True, False]
    assert kept(0, 0.75) == [False, True, True, True]
    assert kept(1, 0.75) == [False, True, False, False]


@given(st.lists(st.integers(4, 6), max_size=9), st.integers(1, 4))
def test_repeated_ngrams_are_those_already_there(ids: list[int], size: int) -> None:
    banned = repeated_ngrams(torch.tensor([ids], dtype=torch.int64).view(1, -1), size, 7)[0]
    grams = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    tail = ids[len(ids) - size + 1 :] if size > 1 else []
    for token in range(7):
        would = len(ids) >= size - 1 and (*tail, token) in grams
        assert bool(banned[token]) == would


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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bem": 4}, "decoding has no setting 'bem'; did you mean 'beam'"),
        ({"beam": 0}, "^decoding setting beam=0: expected at least 1$"),
        ({"beam": 2, "n_best": 3}, "n_best=3 of beam=2; try beam=3"),
        ({"method": "greedy", "n_best": 2}, "greedy decoding has one answer"),
        ({"min_length": 5, "max_length": 4}, "min_length=5 exceeds max_length=4"),
        ({"top_p": 0.0}, "decoding setting top_p=0.0"),
    ],
)
def test_settings_that_cannot_be_are_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        DecodingSettings(**values)
