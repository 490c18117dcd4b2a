"""Evaluation and trust by workers: the figures of one process."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path

import pytest

import regard
from regard.api.evaluate import evaluate
from regard.api.trust import trust
from regard.data import Example, dates
from regard.decoding import DecodingSettings
from tests.pickled_engine import PickledEngine

DATES = dates.generate(100, part="test")


def test_a_translator(translators: tuple[Path, Path], tmp_path: Path) -> None:
    engine = PickledEngine()
    examples = [*DATES, Example(" ", "1999-01-01", origin=("a", 101))]
    settings = DecodingSettings(max_length=8, rows=200)
    found = evaluate(translators[0], examples, settings=settings, engine=engine)
    assert str(found) == str(evaluate(translators[0], examples, settings=settings))
    assert engine.shards == 3  # of 40, with a beam of 5

    pairs = [Example(e.text.replace(" ", ""), e.target, origin=e.origin) for e in DATES]
    (tmp_path / "links").write_text("0-0\n" * 100)
    verdicts = [
        trust(regard.load(translators[0]), pairs, gold=tmp_path / "links", engine=each)
        for each in (None, engine)
    ]
    assert asdict(verdicts[0]) == asdict(verdicts[1])


def test_a_classifier(classifier: Path) -> None:
    engine = PickledEngine()
    examples = [Example(e.source, labels=(e.labels[1],), origin=e.origin) for e in DATES]
    assert str(evaluate(classifier, examples, engine=engine)) == str(evaluate(classifier, examples))
    assert engine.shards == 1
    verdicts = [trust(classifier, examples, texts=4, engine=each) for each in (None, engine)]
    assert repr(asdict(verdicts[0])) == repr(asdict(verdicts[1]))
    assert engine.shards > 12  # four measurements of each text


DOCUMENTS = [
    Example(
        (f"the {name} runs", f"it is day {n}", "it rains and rains"),
        f"{name} runs",
        origin=("a", n),
        references=(f"{name} runs",),
    )
    for n, name in enumerate(["dog", "cat", "bird", "fish"] * 10, 1)
]


@pytest.mark.parametrize("kind", ["pointer", "extractive"])
def test_a_summariser(tmp_path: Path, kind: str) -> None:
    engine = PickledEngine()
    regard.train(
        "summarization",
        train=DOCUMENTS,
        model=kind,
        out=tmp_path / "run",
        preset="tiny",
        settings={"steps": 2} | ({"decoding.max_length": 6} if kind == "pointer" else {}),
    )
    assert str(evaluate(tmp_path / "run", DOCUMENTS, engine=engine)) == str(
        evaluate(tmp_path / "run", DOCUMENTS)
    )
    assert engine.shards
    if kind == "extractive":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdicts = [
                trust(tmp_path / "run", DOCUMENTS, texts=3, engine=each) for each in (None, engine)
            ]
        assert repr(asdict(verdicts[0])) == repr(asdict(verdicts[1]))


@pytest.mark.parametrize("kind", ["lm", "masked"])
def test_a_language_model(tmp_path: Path, kind: str) -> None:
    engine = PickledEngine()
    examples = [Example(e.source, origin=e.origin) for e in DATES]
    regard.train(
        "language",
        train=examples,
        model=kind,
        out=tmp_path / "run",
        preset="tiny",
        settings={"steps": 2},
    )
    assert str(evaluate(tmp_path / "run", examples, engine=engine)) == str(
        evaluate(tmp_path / "run", examples)
    )
    assert engine.shards
