"""Retired words stay out of definitions. The list is the glossary's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
JAVASCRIPT = re.compile(r"\b(?:function\*?|class|const|let|var)\s+(\w+)")


def retired() -> dict[str, str]:
    """Each retired word, and what to write instead."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    _, _, section = glossary.partition("\n## Retired words\n")
    return dict(ROW.findall(section))


def defined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names of classes, functions, parameters, variables and attributes; names of tests are sentences."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) if name.startswith("test_"):
                continue
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def with_retired(names: Iterator[tuple[int, str]], words: dict[str, str]) -> Iterator[str]:
    """`line: name (what to write)` of each name that holds a retired word."""
    for line, name in names:
        parts = [part.lower() for part in PART.findall(name)]
        joined = f"_{'_'.join(parts)}_"
        for word, term in words.items():
            if f"_{word}_" in joined:
                yield f"{line}: {name} ({word}: {term})"


PYTHON = [
    file
    for folder in ("src", "tests", "benchmarks", "examples", ".ci")
    for file in sorted((ROOT / folder).rglob("*.py"))
]


def test_there_is_a_list() -> None:
    assert len(retired()) > 30


@pytest.mark.parametrize(
    "folder", sorted({f.parent for f in PYTHON}), ids=lambda f: str(f.relative_to(ROOT))
)
def test_no_definition_has_a_retired_word(folder: Path) -> None:
    words, found = retired(), []
    for file in sorted(folder.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found += [f"{file.name}:{problem}" for problem in with_retired(defined(tree), words)]
    assert found == []


def test_no_javascript_has_one() -> None:
    words, found = retired(), []
    for file in sorted((ROOT / "src").rglob("*.js")):
        text = file.read_text(encoding="utf-8")
        names = ((text.count("\n", 0, m.start()) + 1, m[1]) for m in JAVASCRIPT.finditer(text))
        found += [f"{file.name}:{problem}" for problem in with_retired(names, words)]
    assert found == []


def test_a_planted_word_is_found() -> None:
    tree = ast.parse(
        "class GateKeeper:\n    def open(self, inkColor): self.n_desks, self.desk = 1, 2\n"
    )
    words = {"gate": "middleware", "ink": "style", "desk": "queue"}
    found = list(with_retired(defined(tree), words))
    assert [problem.partition(" ")[0] for problem in found] == ["1:", "2:", "2:"]
