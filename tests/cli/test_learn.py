"""`regard learn`: what it lists, writes and says, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regard.cli.app import app
from regard.learn import find_exercise

RIGHT = "def weighted_sum(weights, values):\n    return weights @ values\n"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where progress is kept; the current folder is an empty one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "state" / "regard" / "learn.json"


def learn(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["learn", *map(str, arguments)])
    return result.exit_code, result.output


def test_from_the_list_to_the_next_exercise(state: Path) -> None:
    status, output = learn()
    assert status == 0
    assert "1. Why one vector is not enough\n   · 1   a weighted sum\n" in output
    assert output.endswith("Next: regard learn 1\n")
    assert not state.exists()

    assert learn(1) == (
        0,
        "exercise_1.py: a weighted sum\nFill it in, then: regard learn 1 --check\n",
    )
    assert Path("exercise_1.py").read_text() == find_exercise("1").text
    status, output = learn(1, "--check")
    assert status == 1
    assert "✗ 0.5 [2, 0]" in output
    assert "exercise_1.py:17: Not filled in yet" in output
    assert "· 1   a weighted sum, tried once\n" in learn()[1]

    Path("exercise_1.py").write_text("print('look')\n" + RIGHT)
    status, output = learn(1, "--check")
    assert status == 0
    assert "Your file printed:\n  | look\n" in output
    assert output.count("✓") == 2
    assert output.endswith("Next: regard learn 1b\n")
    status, output = learn()
    assert "✓ 1   a weighted sum\n" in output
    assert output.endswith("Next: regard learn 1b\n")
    assert json.loads(state.read_text())["exercises"]["1"]["tries"] == 2


def test_a_file_of_another_name() -> None:
    assert learn("1", "mine.py")[1].endswith("regard learn 1 --check mine.py\n")
    Path("mine.py").write_text(RIGHT)
    assert learn("1", "--check", "mine.py")[0] == 0


def test_work_is_kept_unless_told_otherwise() -> None:
    Path("exercise_1.py").write_text(RIGHT)
    status, output = learn(1)
    assert status == 2
    assert "is there already" in output
    assert Path("exercise_1.py").read_text() == RIGHT
    assert learn(1, "--overwrite")[0] == 0
    assert Path("exercise_1.py").read_text() != RIGHT


def test_reset_of_one_and_of_all(state: Path) -> None:
    Path("exercise_1.py").write_text(RIGHT)
    assert learn(1, "--check")[0] == 0
    assert learn("1b", "--reset")[0] == 0
    assert json.loads(state.read_text())["exercises"]["1"]["passed"]
    assert learn(1, "--reset")[0] == 0
    assert json.loads(state.read_text())["exercises"] == {}
    assert learn("--reset")[0] == 0
    assert not state.exists()
    assert learn("--reset")[0] == 0
    assert Path("exercise_1.py").read_text() == RIGHT


def test_damaged_progress_is_told_and_hides_no_result(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("{")
    Path("exercise_1.py").write_text(RIGHT)
    status, output = learn(1, "--check")
    assert status == 0
    assert "Right." in output
    assert "progress is not kept" in output
    assert state.read_text() == "{"
    status, output = learn()
    assert status == 0
    assert "begin again with `regard learn --reset`" in output


def test_a_state_folder_that_cannot_be_written_hides_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    Path("exercise_1.py").write_text(RIGHT)
    status, output = learn(1, "--check")
    assert status == 0
    assert "progress is not kept" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("9",), "there is no exercise '9'"),
        (("--check",), "say which exercise"),
        (("1", "--check"), "no such file; `regard learn 1` writes the one to fill in"),
    ],
)
def test_what_cannot_be_done(arguments: tuple[str, ...], message: str) -> None:
    status, output = learn(*arguments)
    assert status == 2
    assert message in output
