"""The contract that the models of all tasks share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import regard
from regard.api import (
    AbstractiveSummarizer,
    Classifier,
    ExtractiveSummarizer,
    Model,
    Translator,
)
from regard.api.inspection import seal_folder
from regard.api.tasks import model as task_model
from regard.data import Example, dates
from regard.errors import InputError, ModelFolderError
from regard.text import Tokenizer

TEXTS = ["3. Mai 2018", "", "jeudi 4 juin 2020", "   "]


@pytest.mark.parametrize(
    "kind", ["translator", "classifier", "extractive", "abstractive", "generator"]
)
def test_the_tokenizer_of_another_model_is_refused(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: Model = request.getfixturevalue(kind)
    assert model.folder is not None
    here = shutil.copytree(model.folder, tmp_path / "model")
    for path in (here / "source.json", here / "target.json"):
        if path.is_file():
            own = path.read_bytes()
            Tokenizer.train(["other words"], kind="word", size=9).save(path)
            with pytest.raises(ModelFolderError, match=rf"{path.name} was changed after training"):
                regard.load(here)
            with pytest.raises(ModelFolderError, match=rf"{path.name}: \d tokens, config.json has"):
                seal_folder(here)
            path.write_bytes(own)
    regard.load(here)


def test_an_empty_text_has_an_empty_answer_in_its_place(
    translator: Translator,
    classifier: Classifier,
    extractive: ExtractiveSummarizer,
    abstractive: AbstractiveSummarizer,
) -> None:
    translations = translator.translate(TEXTS)
    assert [bool(t.text) for t in translations] == [True, False, True, False]
    assert translations[2].text == translator.translate(TEXTS[2])[0].text
    assert [bool(c.label) for c in classifier.classify(TEXTS)] == [True, False, True, False]
    assert [s.source for s in extractive.summarize(["", "One. Two."])] == ["", "One. Two."]
    assert abstractive.summarize([""])[0].text == ""
    with pytest.raises(InputError, match="empty text"):
        translations[1].look()


@pytest.mark.parametrize(
    ("name", "scores", "baseline"),
    [
        ("translator", {"BLEU", "chrF", "exact match"}, "copy of the source"),
        ("extractive", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}, "first sentence"),
        ("abstractive", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}, "first sentence"),
    ],
)
def test_every_score_has_a_baseline_beside_it(
    name: str, scores: set[str], baseline: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    examples = dates.generate(6, part="test")
    if name != "translator":
        examples = [Example((e.text, "It is so."), e.target) for e in examples]
    found = model.evaluate(examples)
    assert {score.name for score in found.scores} == scores
    assert list(found.baselines) == [baseline]
    assert "this model" in str(found)
    assert all(score.interval is not None for score in found.scores)


@pytest.mark.parametrize("name", ["translator", "classifier", "abstractive", "generator"])
def test_ids_are_the_same_however_many_are_made_at_once(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = request.getfixturevalue(name)
    texts = [f"3 May 20{i} red green" for i in range(10)]
    labels = ("yes",) if name == "classifier" else ()
    examples = [Example(text, text[::-1], labels=labels) for text in texts]
    whole = model.encode_examples(examples, training=True)
    monkeypatch.setattr(task_model, "EXAMPLES_PER_CHUNK", 3)
    parts = model.encode_examples(examples, training=True)
    assert (whole.lengths == parts.lengths).all()
    indices = range(len(whole.lengths))
    assert len(indices) >= 10
    torch.testing.assert_close(whole.batch(indices).source, parts.batch(indices).source)
    torch.testing.assert_close(whole.batch(indices).target, parts.batch(indices).target)


def test_the_device_is_that_of_the_first_parameter() -> None:
    inner = nn.Sequential(nn.Dropout(), nn.Linear(2, 2, device="meta"))
    inner.register_parameter("none", None)
    assert task_model.device_of(nn.Sequential(nn.ReLU(), inner, nn.Linear(2, 2))).type == "meta"
