"""The code on the pages runs, top to bottom, one page at a time."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Pages write files into the folder that they are run in."""
    monkeypatch.chdir(tmp_path)


def run(page: str) -> int:
    """Runs a page's code; returns how many blocks there were."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return len(blocks)


def test_mechanisms(capsys):
    assert run("mechanisms.md") > 10
    assert "6. Sum" in capsys.readouterr().out


def test_write_your_own(capsys):
    assert run("write-your-own.md") == 7
    assert "try: subtract the row's maximum" in capsys.readouterr().out


@pytest.mark.parametrize(
    "page", ["coming-from.md", "statistics.md", "troubleshooting.md", "../CONTRIBUTING.md"]
)
def test_other_pages(page):
    assert run(page)


def test_links_lead_somewhere():
    root = DOCS.parent
    for page in [*root.glob("*.md"), *DOCS.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(root)} links to {link}"
