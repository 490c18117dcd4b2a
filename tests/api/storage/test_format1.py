"""Folders of format 1 are read for ever: models that commit 8a02f86 wrote answer as they did then.

`make_format1.py` made them and `expected.json`. Should a test here fail, mend the reading of old folders and
leave the files as they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import evaluate

FOLDER = Path(__file__).parent / "format1"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
KINDS = sorted(EXPECTED)


def answers(model: Any, texts: list[str]) -> list[dict[str, Any]]:
    """What a model answers, as `expected.json` holds it."""
    if model.task == "classification":
        return [
            {"labels": list(one.labels), "probabilities": dict(one.probabilities)}
            for one in model.classify(texts)
        ]
    verb = {"translation": "translate", "summarization": "summarize", "language": "generate"}
    found = getattr(model, verb[model.task])(texts)
    return [{"text": one.text, "score": one.score} for one in found]


def test_all_kinds_are_here() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_what_they_were(kind: str) -> None:
    requested = EXPECTED[kind]
    found = answers(regard.load(FOLDER / kind), requested["texts"])
    for one, expected in zip(found, requested["answers"], strict=True):
        if "labels" in expected:
            assert one["labels"] == expected["labels"]
            assert one["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        else:
            assert one["text"] == expected["text"]
            assert one["score"] == pytest.approx(expected["score"], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_keeps_its_value(kind: str) -> None:
    """Whatever a setting is called now, what it was set to is still there."""
    config = json.loads((FOLDER / kind / "config.json").read_text(encoding="utf-8"))
    model = regard.load(FOLDER / kind)
    for written, read in (
        (config["model"], model.network.settings),
        (config["settings"], model.settings),
    ):
        missing = Counter(leaves(written)) - Counter(leaves(read))
        assert not missing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "verdict" in EXPECTED[kind]])
def test_the_verdict_stays_with_the_weights(kind: str) -> None:
    assert regard.load(FOLDER / kind).verdict == EXPECTED[kind]["verdict"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "table" in EXPECTED[kind]])
def test_a_table_is_read_as_in_training(kind: str, tmp_path: Path) -> None:
    """Separator and columns are those of training; here they are unusual."""
    file = tmp_path / "test.txt"
    file.write_text(EXPECTED[kind]["table"], encoding="utf-8")
    found = evaluate(FOLDER / kind, [file])
    assert [score.value for score in found.scores] == pytest.approx(EXPECTED[kind]["scores"])


def leaves(content: Any) -> Iterator[str]:
    """Every value of nested settings, objects or JSON, as text."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from leaves(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from leaves(value)
    elif hasattr(content, "__dict__"):
        yield from leaves(vars(content))
    else:
        yield json.dumps(content)
