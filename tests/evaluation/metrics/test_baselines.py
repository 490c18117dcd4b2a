"""Baselines: published figures of the shared data sets, and tasks that each can learn."""

from pathlib import Path

import pytest

from regard.data import Pairs, read_parallel, read_table
from regard.evaluation import (
    bleu,
    copy_source,
    first_sentences,
    majority,
    oracle_sentence,
    rouge,
    tfidf_logistic,
    tfidf_logistic_sets,
)


def test_majority() -> None:
    assert majority(["b", "a", "b"], 2) == ["b", "b"]
    assert majority(["b", "a"], 1) == ["a"]


def test_tfidf_learns_a_word() -> None:
    texts = ["good film", "good day", "bad film", "bad day"] * 3
    predicted, probabilities, names = tfidf_logistic(
        texts, ["pos", "pos", "neg", "neg"] * 3, ["a good book", "a bad book"]
    )
    assert predicted == ["pos", "neg"]
    assert names == ["neg", "pos"]
    assert probabilities.shape == (2, 2)
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])


def test_tfidf_learns_sets() -> None:
    texts = ["good film", "bad film", "good day", "bad day"] * 5
    sets = [{"pos", "film"}, {"film"}, {"pos"}, set()] * 5
    predicted = tfidf_logistic_sets(texts, sets, ["good film", "bad day"])
    assert predicted == [{"pos", "film"}, frozenset()]


def test_published_baselines_of_scitldr(shared_data: Path) -> None:
    corpus = read_table(shared_data / "scitldr" / "test.jsonl", Pairs())
    references = [example.references for example in corpus]
    lead = [score.value for score in rouge(first_sentences(corpus), references)]
    assert lead == pytest.approx([28.2, 10.5, 22.4], abs=0.05)
    assert rouge(oracle_sentence(corpus), references)[0].value == pytest.approx(45.8, abs=0.05)


def test_copying_is_no_translation(shared_data: Path) -> None:
    folder = shared_data / "multi30k-de-en"
    corpus = read_parallel(folder / "val.de", folder / "val.en")
    copied = bleu(copy_source(corpus), [example.references for example in corpus])
    assert 0 < copied.value < 5
