"""The notebooks of the course are those of its pages, and run."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("jupytext", reason="notebooks are made with it")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[2]
LEARN = ROOT / "docs" / "learn"
PAGES = sorted(LEARN.glob("[0-9]-*.md"))
PARTS = ["The idea", "In code", "The picture", "Exercise", "Read on"]


@pytest.fixture(scope="module")
def lessons() -> ModuleType:
    """The script that makes the notebooks."""
    spec = importlib.util.spec_from_file_location("lessons", ROOT / ".ci" / "lessons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_seven_lessons_of_one_plan():
    assert len(PAGES) == 7
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS, page.name
        assert f'"{page.stem}.png"' in text
        assert f"(../images/learn/{page.stem}.png)" in text
        assert f"(notebooks/{page.stem}.ipynb)" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_notebook_is_that_of_the_page(page: Path, lessons: ModuleType):
    stored = LEARN / "notebooks" / f"{page.stem}.ipynb"
    made = lessons.notebook(page)
    assert stored.read_text(encoding="utf-8") == made, "make lessons writes it anew"
    cells = nbformat.reads(made, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    blocks = re.findall(
        r"^```python\n(.*?)\n```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert [source for source in code if not source.startswith(("%%", "# Installs"))] == blocks
    prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "![" not in prose
    assert all(link.startswith("https:") for link in re.findall(r"\]\(([^)]+)\)", prose))


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name in ("HOME", "XDG_STATE_HOME", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", programs)  # a cell runs the command `regard`
    book = nbformat.read(LEARN / "notebooks" / "4-self-attention.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [each for cell in book.cells for each in cell.get("outputs", [])]
    assert any("text/html" in each.get("data", {}) for each in outputs), "the map is shown"
    assert (tmp_path / "exercise_4.py").is_file()
