"""`regard plot`: runs in the terminal and in a figure."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner

from regard.cli.app import app


def test_in_the_terminal_and_in_a_file(model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    result = CliRunner().invoke(app, ["plot", str(model), str(other)])
    assert result.exit_code == 0
    assert result.output.startswith("loss\n  dates  validation")
    assert "  other  validation" in result.output
    out = tmp_path / "plot.png"
    assert CliRunner().invoke(app, ["plot", str(model), "--out", str(out)]).exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, ["plot", str(tmp_path)]).exit_code == 2
