"""`regard check`: what it prints, and its exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regard.cli.app import app


def check(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture
def here(model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model, tmp_path / "model")


def test_a_whole_folder(here: Path) -> None:
    status, output = check(here)
    assert status == 0
    assert "a model for translation: transformer, preset tiny" in output
    assert "model.safetensors" in output
    assert output.endswith("It can be used\n")


def test_a_damaged_folder_as_json(here: Path) -> None:
    content = bytearray((here / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (here / "model.safetensors").write_bytes(content)
    status, output = check(here, "--json")
    assert status == 2
    found = json.loads(output)
    assert found["usable"] is False
    states = {file["name"]: file["state"] for file in found["files"]}
    assert states["model.safetensors"] == "faulty"
    assert states["source.json"] == "whole"


def test_a_change_by_hand_is_taken_with_seal(here: Path) -> None:
    config = json.loads((here / "config.json").read_text())
    config["settings"]["decoding"]["beam"] = 7
    (here / "config.json").write_text(json.dumps(config))
    status, output = check(here)
    assert status == 2
    assert "DAMAGED OR CHANGED" in output
    assert check(here, "--seal")[0] == check(here)[0] == 0


def test_no_folder(tmp_path: Path) -> None:
    assert check(tmp_path / "nowhere")[0] == 2
