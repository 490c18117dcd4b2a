"""`regard data` prints what is in files, and a command that can be pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regard.cli.app import app


@pytest.mark.slow
def test_the_printed_command_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i};good day;up\n{i};bad day;down\n" for i in range(12))
    Path("my tweets.csv").write_text("id;tweet of the day;mood\n" + rows)
    found = CliRunner().invoke(app, ["data", "my tweets.csv"])
    assert found.exit_code == 0, found.output
    assert "CSV (cells may be in quotes), separated by ';'" in found.output
    assert "labels      up 12, down 12" in found.output
    command = shlex.split(found.stdout.strip().splitlines()[-1])
    assert command[0] == "regard"
    trained = CliRunner().invoke(app, [*command[1:], "--preset", "tiny", "--set", "steps=2"])
    assert trained.exit_code == 0, trained.output
    assert json.loads(Path("runs/my tweets/config.json").read_text())["regard"]


def test_json_and_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("good\tup\nbad\tdown\n" * 4)
    content = json.loads(CliRunner().invoke(app, ["data", str(path), "--json"]).stdout)
    assert content["task"] == "classification"
    assert content["parts"][0]["labels"] == {"up": 4, "down": 4}
    path.write_text("good\tup\nbad\n" * 4)
    found = CliRunner().invoke(app, ["data", str(path)])
    assert found.exit_code == 2
    assert "As they are, they cannot be used" in found.stdout
