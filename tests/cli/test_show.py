"""`regard show`: the layers of a folder."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

import regard
from regard.cli.app import app


def show(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["show", *map(str, arguments)], env={"COLUMNS": "120"})
    return result.exit_code, result.output


def test_the_table_and_its_totals(model: Path) -> None:
    status, output = show(model)
    assert status == 0
    total = regard.load(model).num_parameters
    assert f"Total parameters: {total:,}" in output
    assert "cross-attention, 2 heads" in output
    assert "regard export --to ctranslate2: yes" in output


def test_json(model: Path) -> None:
    status, output = show(model, "--json")
    found = json.loads(output)
    assert status == 0
    assert found["parameters"] == regard.load(model).num_parameters
    assert found["layers"][0] == {
        "name": "source ids", "kind": "Input", "shapes": [["batch", "source"]], "parameters": 0,
        "trainable": 0, "buffers": 0, "size": 0, "shares": [], "connected_to": [], "attention": None,
    }  # fmt: skip


def test_no_model(tmp_path: Path) -> None:
    assert show(tmp_path / "nowhere")[0] == 2
