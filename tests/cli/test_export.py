"""`regard export`: what it writes and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from regard.cli.app import app

pytest.importorskip("ctranslate2")


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)], env={"COLUMNS": "120"})
    return result.exit_code, result.output


def test_texts_of_a_file(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "valid.txt"
    texts.write_text("May 5, 2021\n\n12.3.1999\n")
    status, output = export(
        model, "--to", "ctranslate2", "--out", tmp_path / "out", "--texts", texts
    )
    assert status == 0
    assert "2 texts: log-probabilities differ by at most" in output
    assert "100.0% equal (greedy)" in output
    assert (tmp_path / "out" / "model.bin").is_file()


def test_an_unknown_format(model: Path) -> None:
    assert export(model, "--to", "paper")[0] == 2
