"""Makes the notebooks and the pictures of the course from its pages, `docs/learn/N-*.md`, the one source.

A notebook has the text and the blocks of its page. The picture of a page is what its code draws, so in the
notebook the cell draws it, and the page's picture is left out. The first cell installs regard where absent.

    python .ci/lessons.py                 write docs/learn/notebooks/*.ipynb
    python .ci/lessons.py --pictures      run the pages, too, and write docs/images/learn/*.png
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEARN = ROOT / "docs" / "learn"
FORGE = "https://github.com/regard-attention/regard/blob/main"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\]\((?!https?:|#)([^)]+)\)")
PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+", re.MULTILINE)
TOP = re.compile(r"^\[Notebook\].*\n+", re.MULTILINE)
INSTALL = """# Installs regard where it is absent, as on Colab.
try:
    import regard
except ImportError:
    %pip install -q regard"""


def pages() -> list[Path]:
    """The lessons, in order."""
    return sorted(LEARN.glob("[0-9]-*.md"))


def notebook(page: Path) -> str:
    """A page as a notebook without outputs; equal pages give equal bytes."""
    import jupytext
    import nbformat

    text = PICTURE.sub("", TOP.sub("", page.read_text(encoding="utf-8")))
    parts = re.split(r"(^```(?:python|sh)\n.*?^```\n)", text, flags=re.MULTILINE | re.DOTALL)
    prose = [_absolute(part) if i % 2 == 0 else part for i, part in enumerate(parts)]
    book = jupytext.reads("".join(prose), fmt="md")
    book.cells.insert(1, nbformat.v4.new_code_cell(INSTALL))
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return nbformat.writes(book, indent=1) + "\n"


def _absolute(text: str) -> str:
    """Prose whose links to pages lead to the forge: a notebook may be anywhere."""

    def link(match: re.Match[str]) -> str:
        path, mark, anchor = match[1].partition("#")
        target = os.path.normpath(LEARN / path).removeprefix(f"{ROOT}/")
        return f"]({FORGE}/{target}{mark}{anchor})"

    return LINK.sub(link, text)


def write_notebooks() -> None:
    """Write the notebook of every page."""
    folder = LEARN / "notebooks"
    folder.mkdir(exist_ok=True)
    for page in pages():
        (folder / f"{page.stem}.ipynb").write_text(notebook(page), encoding="utf-8")
        print(f"wrote docs/learn/notebooks/{page.stem}.ipynb")


def write_pictures() -> None:
    """Run every page's Python, and keep the picture that it draws."""
    os.environ["MPLBACKEND"] = "agg"
    before = Path.cwd()
    for page in pages():
        folder = Path(tempfile.mkdtemp(prefix="lesson-"))
        names: dict[str, object] = {"__name__": "__main__"}
        os.chdir(folder)
        try:
            for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
                if kind == "python":
                    exec(compile(block, page.name, "exec"), names)  # noqa: S102  (our own page)
            shutil.copy(f"{page.stem}.png", ROOT / "docs" / "images" / "learn")
        finally:
            os.chdir(before)
            shutil.rmtree(folder)
        print(f"wrote docs/images/learn/{page.stem}.png")


if __name__ == "__main__":
    if "--pictures" in sys.argv:
        write_pictures()
    write_notebooks()
