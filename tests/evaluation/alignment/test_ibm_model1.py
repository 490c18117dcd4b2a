"""IBM Model 1 on textbook examples and on the shared data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.evaluation.alignment.error_rate import alignment_error_rate
from regard.evaluation.alignment.gold import read_gold
from regard.evaluation.alignment.ibm_model1 import ibm_model_1
from regard.evaluation.alignment.links import diagonal, read_sentence_pairs


def test_model_1_finds_the_dictionary_of_knights_example():
    # das Haus / das Buch / ein Buch: the textbook case that co-occurrence alone settles.
    pairs = [
        (["the", "house"], ["das", "Haus"]),
        (["the", "book"], ["das", "Buch"]),
        (["a", "book"], ["ein", "Buch"]),
    ]
    assert ibm_model_1(pairs, iterations=20) == [{(0, 0), (1, 1)}] * 3


def test_model_1_follows_words_not_positions():
    pairs = [
        (["green", "house"], ["casa", "verde"]),
        (["house"], ["casa"]),
        (["green", "door"], ["puerta", "verde"]),
    ]
    assert ibm_model_1(pairs, iterations=20)[0] == {(0, 1), (1, 0)}


def test_model_1_survives_empty_sentences():
    assert ibm_model_1([([], ["a"]), (["b"], []), ([], [])]) == [set(), set(), set()]


def test_scores_of_the_shared_set(shared_data: Path):
    folder = shared_data / "word-alignment-en-fr"
    gold = read_gold(folder / "enfr.gold")
    pairs = read_sentence_pairs(folder / "enfr.src-tgt")
    assert len(gold) == len(pairs) == 447
    assert 100 * alignment_error_rate(diagonal(pairs), gold).error_rate == pytest.approx(
        68.6, abs=0.05
    )
    model_1 = 100 * alignment_error_rate(ibm_model_1(pairs), gold).error_rate
    assert model_1 == pytest.approx(38.8, abs=0.1)
