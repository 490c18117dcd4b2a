"""Progress is the learner's own: kept whole, told when damaged, never lost by a later try."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.errors import DataError
from regard.learn import Progress, progress_file


def test_a_try_and_a_success(tmp_path):
    path = tmp_path / "state" / "regard" / "learn.json"
    assert Progress.read(path) == Progress({})
    progress = Progress.read(path).with_try("2", right=False).with_try("2", right=True)
    passed = progress.of("2").passed
    assert passed is not None
    assert len(passed) == len("2026-01-01")
    progress.with_try("2", right=False).with_try("3", right=False).write(path)
    read = Progress.read(path)
    assert (read.of("2").tries, read.of("2").passed) == (3, passed)
    assert (read.of("3").tries, read.of("3").passed) == (1, None)
    assert read.without(["2"]).of("2").tries == 0
    assert read.without(["2"]).of("3").tries == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "exercises": []}',
        '{"format": 1, "exercises": {"2": {}}}',
        '{"format": 1, "exercises": {"2": {"tries": "x", "passed": null}}}',
        '{"format": 1, "exercises": {"2": {"tries": 1, "passed": 5}}}',
        '{"format": "x", "exercises": {}}',
        "\udce9",
    ],
)
def test_a_damaged_file_is_told_and_left_alone(tmp_path, text):
    path = tmp_path / "learn.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"learn\.json: cannot be read as progress.*--reset"):
        Progress.read(path)
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_newer_file_is_told(tmp_path):
    path = tmp_path / "learn.json"
    path.write_text('{"format": 99, "exercises": {}}')
    with pytest.raises(DataError, match="newer version of regard"):
        Progress.read(path)


@pytest.mark.parametrize("value", [None, "", "relative/path"])
def test_the_folder_without_one_that_counts(monkeypatch, value):
    monkeypatch.setenv("HOME", "/home/somebody")
    if value is None:
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_STATE_HOME", value)
    assert progress_file() == Path("/home/somebody/.local/state/regard/learn.json")


def test_the_folder_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert progress_file() == tmp_path / "regard" / "learn.json"
