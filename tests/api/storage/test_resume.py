"""Going on with a run: the command that is recorded, and the fingerprint of its data."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from regard.api.storage.resume import command_line, fingerprint
from regard.data import Example


@pytest.mark.parametrize("program", ["/usr/bin/regard", "/src/regard/__main__.py", "regard.exe"])
def test_the_command_of_a_run_can_be_run_again(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "train", "language", "--train", "my book.txt"])
    assert command_line() == "regard train language --train 'my book.txt'"


def test_a_script_is_run_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "5"])
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-W", "error", "train.py", "5"])
    assert command_line() == "python -W error train.py 5"


@pytest.mark.slow
def test_a_recorded_command_goes_on_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "my book.txt").write_text("".join(f"line {n} of a book\n" for n in range(30)))
    command = [sys.executable, "-m", "regard", "train", "language", "--train", "my book.txt"]
    command += ["--out", "run", "--preset", "tiny", "--set", "steps=1"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert first.returncode == 0, first.stderr
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["command"]
    verb, *arguments = shlex.split(recorded)
    assert verb == "regard"
    again = [sys.executable, "-m", "regard", *arguments, "--resume"]
    found = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_a_fingerprint_follows_the_content_and_not_the_place() -> None:
    example = Example("a", "b", labels=("x",), origin=("here.tsv", 1))
    same = fingerprint([example])
    assert fingerprint([replace(example, origin=("there.tsv", 9))]) == same
    for change in ({"source": "c"}, {"target": "c"}, {"labels": ("y",)}):
        assert fingerprint([replace(example, **change)]) != same
