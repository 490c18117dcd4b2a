"""Answers to many texts: in batches, from a log, by workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regard.api.corpus.answer_log import AnswerLog
from regard.api.corpus.answering import (
    AnswerSettings,
    answer_inputs,
    log_settings,
)
from regard.api.tasks.answers import Continuation
from regard.data.inputs import Input

sizes: list[int] = []


@dataclass(frozen=True)
class Capitals:
    """Answers without any model."""

    end: str = "!"

    def answer(self, model: Any, texts: list[str]) -> list[Continuation]:
        sizes.append(len(texts))
        return [Continuation(prompt=text, note="long" * (len(text) > 7)) for text in texts]

    def line(self, answer: Continuation) -> str:
        return answer.prompt.upper() + self.end

    def columns(self, model: Any, answer: Continuation) -> dict[str, Any]:
        return {"capitals": answer.prompt.upper()}


def inputs(count: int) -> Iterator[Input]:
    return (Input(f"line {n}", {"n": n}) for n in range(count))


def run(count: int, *, table: bool = False, log: AnswerLog | None = None) -> list[Any]:
    """Rows, lines, columns and notes."""
    sizes.clear()
    settings = AnswerSettings(Capitals(), table)
    batches = answer_inputs(None, inputs(count), settings, log=log)  # type: ignore[type-var]
    return [(each.row, *written) for pair in batches for each, written in zip(*pair, strict=True)]


def test_many_lines_are_answered_together_but_not_all() -> None:
    found = run(600)
    assert sizes == [256, 256, 88]
    assert found == [({"n": n}, f"LINE {n}!", {}, "long" * (n > 99)) for n in range(600)]
    assert run(1, table=True) == [({"n": 0}, "", {"capitals": "LINE 0"}, "")]


def test_batches_of_a_log_are_not_answered_again(tmp_path: Path) -> None:
    settings = log_settings("hash", AnswerSettings(Capitals(), False))
    with AnswerLog(tmp_path / "log", settings) as log:
        whole = run(600, log=log)
    text = (tmp_path / "log").read_text()
    (tmp_path / "log").write_text("".join(text.splitlines(keepends=True)[:3]))
    with AnswerLog(tmp_path / "log", settings) as log:
        assert run(600, log=log) == whole
    assert sizes == [88]
    assert (tmp_path / "log").read_text() == text


@pytest.mark.parametrize(
    "other", [AnswerSettings(Capitals("?"), False), AnswerSettings(Capitals(), True)]
)
def test_what_is_written_is_part_of_what_a_log_is_of(other: AnswerSettings[Any, Any]) -> None:
    plain = AnswerSettings(Capitals(), False)
    assert log_settings("hash", other) != log_settings("hash", plain)
    assert log_settings("hash", plain, "int8") != log_settings("hash", plain)
