"""Classification: probabilities, attention, reweighing, loss and baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import regard
from regard.api import (
    Classifier,
    Model,
)
from regard.api.tasks.answers import Classification
from regard.data import Example
from regard.data.ragged import Ragged
from regard.errors import DataError, InputError
from regard.training.batch import labelled_batch

TEXTS = ["red green is good", "pink is bad", "", "blue"]


def pooling(answer: Classification) -> NDArray[np.floating[Any]]:
    """Weights of the one map of an answer, `(heads, 1, tokens)`."""
    weights = answer.aligned().tracks[0].weights
    assert isinstance(weights, np.ndarray)
    return weights


Reload = Callable[[Model], Any]


def test_attention_comes_from_the_pass_that_classifies(classifier: Classifier) -> None:
    plain, kept = classifier.classify(TEXTS), classifier.classify(TEXTS, attention=True)
    calls: list[int] = []
    hook = classifier.network.register_forward_hook(lambda *_: calls.append(1))
    try:
        for one, other in zip(plain, kept, strict=True):
            assert one.probabilities == other.probabilities
            if one.text:
                np.testing.assert_allclose(pooling(other), pooling(one), atol=1e-6)
        assert len(calls) == 3  # of the plain answers, whose attention was not kept
        calls.clear()
        alone = pooling(classifier.classify(TEXTS[0], attention=True)[0])
        assert len(calls) == 1
        np.testing.assert_array_equal(alone, pooling(plain[0]))
        calls.clear()
        classifier.look(TEXTS[0])
        assert len(calls) == 2  # the maps, and the text without each of its words
    finally:
        hook.remove()


def test_a_classifier_gives_probabilities(classifier: Classifier, reloaded: Reload) -> None:
    again = reloaded(classifier)
    texts = ["red green is good", "pink blue is bad"]
    for one, other in zip(classifier.classify(texts), again.classify(texts), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert next(iter(one.probabilities)) == one.label == one.labels[0]
    answer = classifier.classify(texts)[0]
    assert answer.label == "yes"  # the n-grams beside attention know it after any training
    assert answer.tokens == ("red", "green", "is", "good")
    assert answer.maps["pooling"][0].shape[-1] == 4
    record = answer.look()
    assert record.tracks[0].kind == "pooling"
    assert record.keys(record.tracks[0]).pieces == answer.tokens


def test_several_labels(tmp_path: Path) -> None:
    words = ["red", "green", "blue", "gold"]
    examples = [
        Example(f"{words[i % 4]} and {words[i % 3]}", labels=tuple({words[i % 4], words[i % 3]}))
        for i in range(60)
    ]
    settings = {"steps": 2, "metric": "macro_f1"}
    model = regard.train("classification", train=examples, preset="tiny", settings=settings)
    assert isinstance(model, Classifier)
    assert model.multilabel
    answer = model.classify("red and blue")[0]
    assert set(answer.labels) == {"red", "blue"}
    found = model.evaluate(examples, train=examples)
    assert {score.name for score in found.scores} == {"micro F1", "macro F1", "subset accuracy"}
    assert set(found.baselines) == {"TF-IDF, logistic regression"}


def test_attention_of_a_classifier_reweighed(classifier: Classifier) -> None:
    text = "red green is good"
    plain = classifier.classify(text)[0]
    count = len(classifier.input_tokens(text))
    assert classifier.pools_by_attention
    for same in (np.ones(count), np.full(count, 3.0)):
        found = classifier.reweigh(text, same)
        assert dict(found.probabilities) == pytest.approx(dict(plain.probabilities), abs=1e-6)
    strengths = np.ones(count)
    strengths[0] = 0
    before = pooling(plain)[:, 0]
    after = pooling(classifier.reweigh(text, strengths))[:, 0]
    assert not after[:, 0].any()
    expected = before[:, 1:] / before[:, 1:].sum(1, keepdims=True)
    np.testing.assert_allclose(after[:, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("strengths", [[1.0], [0.0] * 4, [-1.0, 1, 1, 1], [np.nan, 1, 1, 1]])
def test_impossible_strengths(classifier: Classifier, strengths: list[float]) -> None:
    with pytest.raises(InputError, match="strengths"):
        classifier.reweigh("red green is good", strengths)


def test_validation_loss_from_probabilities(classifier: Classifier) -> None:
    texts, golds = ["red gold", "blue and grey is good", "pink"], ["yes", "no", "yes"]
    answers = classifier.classify(texts)
    nats = [
        -np.log(answer.probabilities[gold]) for answer, gold in zip(answers, golds, strict=True)
    ]
    examples = [Example(text, labels=(gold,)) for text, gold in zip(texts, golds, strict=True)]
    encoded = classifier.encode_examples(examples, training=False)
    with torch.no_grad():
        found = classifier.validator(examples, encoded)(classifier.network.eval())
    assert found["loss"] == pytest.approx(np.mean(nats), rel=1e-5)


def test_the_smoothed_loss_of_several_labels_by_hand() -> None:
    many = SimpleNamespace(multilabel=True, labels=["a", "b"])
    target = torch.tensor([[1.0, 0.0]])
    batch = labelled_batch(Ragged([[4]]), target, [0])
    loss = Classifier._loss(many, torch.tensor([[2.0, -1.0]]), batch, 0.2)  # type: ignore[arg-type]
    yes, no = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    likely = 0.9 * np.log(yes) + 0.1 * np.log(1 - yes) + 0.1 * np.log(no) + 0.9 * np.log(1 - no)
    assert float(loss.value) == pytest.approx(-likely / 2)
    assert loss.count == 1


def test_a_baseline_that_cannot_be_fitted_is_noted(classifier: Classifier) -> None:
    test = [Example("A C G", labels=("yes",)), Example("C T", labels=("no",))]
    for train, note in (
        (test, "no baseline: TF-IDF counts words of two letters or more"),
        (test[:1], "no baseline: no training example has the label 'no' any more"),
    ):
        found = classifier.evaluate(test, train=train)
        assert found.baselines == {}
        assert found.note.startswith(note)
        assert found.scores


def test_a_baseline_beside_a_label_that_every_example_has() -> None:
    texts = {"green grass": ("all", "yes"), "red roses": ("all",)}
    examples = [Example(text, labels=labels) for text, labels in texts.items()] * 10
    model = regard.train(
        "classification", train=examples, valid=examples, preset="tiny", settings={"steps": 1}
    )
    baseline = model.evaluate(examples, train=examples).baselines["TF-IDF, logistic regression"]
    assert [score.value for score in baseline] == [100.0] * 3


def test_a_label_that_training_never_saw_names_its_line(classifier: Classifier) -> None:
    strange = Example("red", labels=("perhaps",), origin=("test.tsv", 7))
    with pytest.raises(DataError, match=r"test\.tsv:7: label 'perhaps' .* no, yes"):
        classifier.evaluate([strange])
    for labels in ((), ("yes", "no")):
        several = Example("red", labels=labels, origin=("test.tsv", 7))
        with pytest.raises(DataError, match=rf"test\.tsv:7: {len(labels)} labels, expected one"):
            classifier.evaluate([several])


def test_a_text_beyond_what_the_model_was_made_for_is_cut_with_a_note(
    classifier: Classifier,
) -> None:
    limit = classifier.settings.text.max_tokens
    whole, cut = classifier.classify(["red " * limit, "red " * (limit + 3)])
    assert whole.note == ""
    assert cut.note.startswith(f"only the first {limit} of its {limit + 3} tokens were read")
    assert cut.probabilities == pytest.approx(whole.probabilities)
