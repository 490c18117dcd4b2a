"""A copying task: a word's row is at its own source position, and unknown words come from there."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import regard
from regard.api import AbstractiveSummarizer, Model, Translator
from regard.api.tasks import alignment
from regard.api.tasks.alignment import choose_alignment_of, cross_attention
from regard.api.trust import trust
from regard.data import Example
from regard.evaluation.alignment.verdict import AlignmentVerdict
from regard.models import AlignmentSettings

SETTINGS: dict[str, dict[str, Any]] = {
    "rnn": {"steps": 300, "learning_rate": 5e-3, "embedding": 32, "word_dropout": 0.0},
    "transformer": {"steps": 300, "learning_rate": 5e-3, "heads": 2, "feedforward": 64}
    | {"encoder_layers": 1, "decoder_layers": 2, "attention_dropout": 0.0, "positions": "learned"},
    "pointer": {"steps": 150, "learning_rate": 3e-3, "embedding": 32},
}
COMMON = {
    "tokenizer": "word",
    "min_count": 3,
    "width": 32,
    "batch_tokens": 300,
    "warmup": 30,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "validate_every": 10_000,
    "patience": 0,
    "method": "greedy",
}


def sentences(tag: str, count: int) -> list[Example]:
    """Random known words in random order, one of them replaced by a word that occurs nowhere else."""
    rng = np.random.default_rng(ord(tag))
    examples = []
    for number in range(count):
        words = list(rng.choice([f"w{i}" for i in range(10)], rng.integers(3, 7), replace=False))
        words[rng.integers(len(words))] = f"{tag}{number}"
        examples.append(Example(" ".join(words), " ".join(words)))
    return examples


UNSEEN = sentences("c", 50)


@pytest.fixture(scope="module", params=list(SETTINGS))
def copier(request, tmp_path_factory) -> Model:
    kind = request.param
    return regard.train(
        "summarization" if kind == "pointer" else "translation",
        train=sentences("a", 800),
        valid=sentences("b", 60),
        out=tmp_path_factory.mktemp("copy") / kind,
        model=kind,
        preset="tiny",
        settings={**COMMON, **SETTINGS[kind]},
    )


def answers(model: Model, **options: Any) -> list[Any]:
    assert isinstance(model, Translator | AbstractiveSummarizer)
    return model.answer([example.text for example in UNSEEN], **options)


def own_positions(records: list[Any]) -> tuple[int, int]:
    """Written words that attend most to themselves in the source, and written words of the source."""
    right = total = 0
    for record in records:
        shown = record.without_special().words()
        source = shown.tokens["source"].pieces
        for word, row in zip(shown.tokens["target"].pieces, shown.tracks[0].dense(), strict=True):
            if word in source:
                total += 1
                right += source[int(row.argmax())] == word
    return right, total


def test_a_words_row_is_at_its_own_position(copier):
    found = answers(copier)
    for records in (
        [answer.aligned() for answer in found],
        [answer.look().select("cross", layer=-1) for answer in found],
    ):
        right, total = own_positions(records)
        assert total > 150
        assert right / total > 0.9
    as_read, total = own_positions([answer.aligned("input") for answer in found])
    assert as_read / total < 0.5  # the rows of the next words


def test_unknown_words_come_from_their_own_position(copier):
    found = answers(copier)
    restored = sum(
        next(word for word in example.text.split() if word[0] == "c") in answer.text.split()
        for example, answer in zip(UNSEEN, found, strict=True)
    )
    assert restored > 0.85 * len(UNSEEN)


def test_a_translators_links_and_what_it_keeps(copier):
    if not isinstance(copier, Translator):
        assert copier.folder is not None
        assert "alignment" not in json.loads((copier.folder / "config.json").read_text())
        return
    right = total = 0
    for answer in answers(copier):
        source, target = answer.source.split(), answer.text.split()
        for i, j in answer.word_alignment():
            total += target[j] in source
            right += source[i] == target[j]
    assert right / total > 0.9
    assert copier.folder is not None
    kept = json.loads((copier.folder / "config.json").read_text())["alignment"]
    assert kept["reading"] == "output"
    assert kept["error_rate"] < kept["diagonal"] + 0.1  # here the diagonal is the truth
    assert "## Where words looked" in (copier.folder / "README.md").read_text()
    again = regard.load(copier.folder)
    assert isinstance(again, Translator)
    assert again.alignment == copier.alignment
    chosen = choose_alignment_of(copier, sentences("b", 60), sentences("a", 800))
    assert chosen.to_json() == kept  # deterministic


def test_a_model_that_is_read_one_step_late_says_so(copier, tmp_path):
    if not isinstance(copier, Translator):
        pytest.skip("a summariser chooses nothing")
    as_read = AlignmentSettings(reading="input")
    found = answers(copier, alignment=as_read)
    right, total = own_positions([answer.aligned() for answer in found])
    assert right / total < 0.5
    assert all("decoder's input" in answer.aligned().reading for answer in found)
    # Unknown words are still copied only from unknown words, of which there is one in each text.
    for example, answer in zip(UNSEEN, found, strict=True):
        copied = set(answer.text.split()) - {f"w{i}" for i in range(10)} - {"<unk>"}
        assert copied <= set(example.text.split())


def test_batches_have_the_attention_of_single_pairs(copier, monkeypatch):
    together = list(cross_attention(copier, UNSEEN[:5]))
    monkeypatch.setattr(alignment, "CELLS_PER_PAIR", 1)  # long pairs come one by one
    for one, other in zip(together, cross_attention(copier, UNSEEN[:5]), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=2e-6)
    for example, pair in zip(UNSEEN[:5], together, strict=True):
        (alone,) = cross_attention(copier, [example])
        assert pair.weights.shape == alone.weights.shape
        np.testing.assert_allclose(pair.weights, alone.weights, atol=2e-6)
        np.testing.assert_allclose(pair.weights.sum(-1), 1, atol=1e-5)


def test_trust_finds_the_same(copier, tmp_path):
    if not isinstance(copier, Translator):
        pytest.skip("links of a summary are not the task")
    links = "\n".join(
        " ".join(f"{n}-{n}" for n in range(len(example.text.split()))) for example in UNSEEN
    )
    (tmp_path / "gold").write_text(links + "\n")
    verdict = trust(copier, UNSEEN, gold=tmp_path / "gold")
    assert isinstance(verdict, AlignmentVerdict)
    best = min(layer["output"].error_rate for layer in verdict.layers)
    assert best < 0.1
    assert min(layer["input"].error_rate for layer in verdict.layers) > 0.5
    assert "words counted from 0 (there is '0-0' in line 1)" in str(verdict)
