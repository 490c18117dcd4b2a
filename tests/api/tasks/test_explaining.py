"""Explanations of a classifier: three methods over the words of a text, against what they are defined as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import regard
from regard.api.load import load
from regard.api.storage.verdict import Findings, save_verdict
from regard.api.tasks import explaining
from regard.api.tasks.classification import Classifier
from regard.api.trust import trust
from regard.data import Example
from regard.errors import InputError
from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.viewing.data.explanation import Explanation

TEXT = "I did not like this awful and slow film ."


def train(folder: Path, model: str = "wide") -> Classifier:
    texts = [f"{word} film , I {word} it ." for word in ("loved", "hated", "loved", "hated")] * 6
    texts += [f"the {word} and slow film" for word in ("awful", "wonderful")] * 6
    labels = [("bad", "good")["loved" in t or "wonderful" in t] for t in texts]
    trained = regard.train(
        "classification",
        train=[Example(t, labels=(label,)) for t, label in zip(texts, labels, strict=True)],
        out=folder / "model",
        preset="tiny",
        model=model,
        settings={"steps": 2, "tokenizer": "char"},
    )
    assert isinstance(trained, Classifier)
    return trained


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return train(tmp_path_factory.mktemp("wide"))


@pytest.fixture
def explanation(classifier: Classifier) -> Explanation:
    return classifier.explain(TEXT)


def test_every_word_has_a_score_by_every_method(explanation: Explanation) -> None:
    assert list(explanation.tokens.pieces) == [*TEXT[:-2].split(), "."]
    names = {scores.name for scores in explanation.attributions}
    assert names == {"attention", "n-grams", "leave-one-out"}
    assert explanation["attention"].values.sum() == pytest.approx(1.0, abs=1e-5)


def test_n_grams_against_the_logits(classifier: Classifier, explanation: Explanation) -> None:
    ids = classifier.tokenizer.encode(TEXT).ids
    label = classifier.labels.index(explanation.label)
    network = classifier.network
    contributions = network.linear_contributions(*_batch(ids))
    assert contributions is not None
    own, other = contributions[0, :, label].sum(), contributions[0, :, 1 - label].sum()
    assert explanation["n-grams"].values.sum() == pytest.approx(float(own - other), abs=1e-4)
    bad = explanation.label == "bad"
    assert (explanation["n-grams"].values[5] > 0) == bad  # awful


def test_leaving_out_against_classifying_again(
    classifier: Classifier, explanation: Explanation
) -> None:
    words = explanation.tokens
    start, end = words.offsets[5][0], words.offsets[6][0]  # with the space after it
    ids = classifier.tokenizer.encode(TEXT).ids  # one id for each character
    label = classifier.labels.index(explanation.label)
    p = adapt_classifier(classifier.network).predict([ids, [*ids[:start], *ids[end:]]])
    expected = np.log(p[0, label] / p[0, 1 - label]) - np.log(p[1, label] / p[1, 1 - label])
    assert explanation["leave-one-out"].values[5] == pytest.approx(expected, abs=1e-4)
    assert explanation.probability == pytest.approx(p[0, label])


def test_of_a_long_text_the_words_that_count_are_left_out(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "LEAVE_OUT_TOKENS", 3 * len(TEXT))
    monkeypatch.setattr(explaining, "_LEAST_LEFT_OUT", 1)
    scores = classifier.explain(TEXT)["leave-one-out"]
    measured = np.flatnonzero(np.isfinite(scores.values))
    assert len(measured) == 3
    assert 5 in measured  # awful
    assert "3 of 10 words" in scores.about


@pytest.mark.parametrize(
    ("level", "better", "front"),
    [
        (None, False, "leave-one-out"),
        ("good", True, "attention"),
        ("partial", True, "n-grams"),
        ("none", False, "leave-one-out"),
    ],
)
def test_what_trust_found_faithful_is_in_front(
    classifier: Classifier, level: str | None, better: bool, front: str
) -> None:
    classifier.files.pop("trust.json", None)
    if level is not None:
        by_method = {"gradient": {"low": 0.3 if better else 0.1}, "random": {"mean": 0.2}}
        verdict = {"sentence": "s", "level": level, "comprehensiveness": {"delete": by_method}}
        assert classifier.folder is not None
        kept = save_verdict(classifier.folder, verdict, weights=classifier.weights)
        classifier.files["trust.json"] = kept
        (classifier.folder / "trust.json").unlink()
    found = classifier.look(TEXT).explanation
    classifier.files.pop("trust.json", None)
    assert found is not None
    assert found.front.name == front
    assert front.split("-")[0] in found.reason or "answer without the word" in found.reason
    assert "regard trust" in found.reason


def test_the_verdict_that_trust_saves_decides(classifier: Classifier) -> None:
    assert classifier.folder is not None
    model = load(classifier.folder)
    assert isinstance(model, Classifier)
    verdict = trust(model, [Example(TEXT), Example("loved it .")], texts=2)
    saved = json.loads((classifier.folder / "trust.json").read_text())
    (classifier.folder / "trust.json").unlink()
    found = model.explain(TEXT)  # the model keeps what it was told
    assert saved["level"] == verdict.level  # type: ignore[union-attr]
    assert (
        found.front.name
        == explaining._front(Findings("", saved["level"], _beats_random(saved)), has_ngrams=True)[0]
    )


def test_without_n_grams_two_methods_are_left(tmp_path: Path) -> None:
    model = train(tmp_path, model="feedforward")
    record = model.look(TEXT)
    assert record.explanation is not None
    names = [scores.name for scores in record.explanation.attributions]
    assert names == ["leave-one-out", "attention"]
    assert record.prediction is not None
    assert record.prediction.labels == (record.explanation.label,)
    with pytest.raises(InputError, match="empty text"):
        model.explain("  ")


def _beats_random(saved: dict[str, object]) -> bool:
    scores = saved["comprehensiveness"]["delete"]  # type: ignore[index]
    return bool(scores["gradient"]["low"] > scores["random"]["mean"])


def _batch(ids: list[int]):  # type: ignore[no-untyped-def]
    import torch

    return torch.tensor([ids]), torch.tensor([len(ids)])
