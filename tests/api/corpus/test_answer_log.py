"""Logs of answers: what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regard.api.corpus.answer_log import AnswerLog
from regard.errors import InputError

SETTINGS = {"model": "m", "settings": "s"}
BATCHES = [["a", "b"], ["c", "d\n"], ["é"]]


def fill(path: Path, batches: list[list[str]]) -> list[bool]:
    """Answers to batches, each in capitals; whether the log held them."""
    held = []
    with AnswerLog(path, SETTINGS) as log:
        for texts in batches:
            kept = log.next_kept(texts)
            answers = [[text.upper()] for text in texts]
            assert kept in (None, answers)
            held.append(kept is not None)
            log.add(texts, answers)
    return held


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert fill(path, BATCHES[:2]) == [False, False]
    assert fill(path, BATCHES) == [True, True, False]
    assert fill(path, BATCHES) == [True] * 3
    assert len(path.read_text().splitlines()) == 4


def test_the_batches_before_the_due_one_are_looked_up_ahead(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fill(path, BATCHES[:1])
    with AnswerLog(path, SETTINGS) as log:
        assert [log.next_kept(texts) for texts in BATCHES] == [[["A"], ["B"]], None, None]
        for texts in BATCHES:
            log.add(texts, [[text.upper()] for text in texts])
    assert fill(path, BATCHES) == [True] * 3


@pytest.mark.parametrize("end", [b'{"texts": "', b'{"texts": "x", "answers": []}'])
def test_a_line_that_a_killed_run_began_is_dropped(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "log"
    fill(path, BATCHES[:2])
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    assert fill(path, BATCHES[:2]) == [True, True]
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a text\n", "no log of answers, or a damaged one"),
        ("{}\n", "no log of answers, or a damaged one"),
        (
            json.dumps({"version": 1, "settings": {"model": "n", "settings": "s"}}) + "\n",
            "differs by its model;",
        ),
        (json.dumps({"version": 2, "settings": SETTINGS}) + "\n", "differs by its version;"),
    ],
)
def test_another_file_is_refused_and_stays(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "log").write_text(content)
    with pytest.raises(InputError, match=message):
        AnswerLog(tmp_path / "log", SETTINGS)
    assert (tmp_path / "log").read_text() == content


def test_other_texts_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "log", BATCHES)
    with (
        AnswerLog(tmp_path / "log", SETTINGS) as log,
        pytest.raises(InputError, match="batch 1 of the log is of other texts"),
    ):
        log.next_kept(["a", "c"])


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fill(path, BATCHES)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "{}", lines[3], ""]))
    with AnswerLog(path, SETTINGS) as log, pytest.raises(InputError, match="log:3: damaged"):
        [log.next_kept(texts) for texts in BATCHES]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        AnswerLog(tmp_path / "no" / "log", SETTINGS)
