"""The examples of docstrings, in `src/regard`, are true: each one runs and gives what it shows."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regard

PACKAGE = Path(regard.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    """Modules with `>>>` in a docstring, found without importing them."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = (
            ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)
        )
        if any(">>>" in text for text in texts):
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def failures(module: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """How many examples a module has, and what doctest says of those that fail."""
    names = {"np": np, "torch": torch, "regard": regard}
    examples = 0
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names):
        if test.examples:
            examples += len(test.examples)
            runner.run(test)
    return examples, capsys.readouterr().out


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples, wrong = failures(importlib.import_module(name), capsys)
    assert examples
    assert not wrong, wrong


def test_a_wrong_example_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    module = type(doctest)("planted", "Adds.\n\n>>> 1 + 1\n3\n")
    examples, wrong = failures(module, capsys)
    assert examples == 1
    assert "Expected:\n    3\nGot:\n    2" in wrong
