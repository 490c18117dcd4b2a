"""The options for reading files are the same for every verb, and every message names options that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from regard.cli.app import app
from regard.cli.options import DataOptions, TextOptions

SOURCE = Path(__file__).resolve().parents[2] / "src" / "regard"
READ_EXAMPLES = ("train", "evaluate", "trust", "data")
READ_TEXTS = ("classify", "translate", "summarize")
EXAMPLES_ONLY = {"--target", "--rare-labels", "--valid"}
TRAINING_ONLY = {"--rare-labels", "--valid", "--train", "--resume", "--overwrite", "--out"}


def options(verb: str) -> set[str]:
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


def named_options(*parts: str) -> set[str]:
    """The options of ours that texts in the code of some modules name."""
    found: set[str] = set()
    for path in (file for part in parts for file in SOURCE.glob(part)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value)}
    return found


@pytest.mark.parametrize("verb", READ_EXAMPLES)
def test_messages_of_the_readers_name_options_that_the_verb_has(verb: str) -> None:
    named = named_options("data/*.py", "api/examples.py", "api/evaluate.py")
    assert {"--separator", "--source", "--format", "--escape", "--encoding"} <= named
    assert named - TRAINING_ONLY <= options(verb)
    assert named <= options("train")


@pytest.mark.parametrize("verb", READ_TEXTS)
def test_messages_about_texts_name_options_that_the_verb_has(verb: str) -> None:
    """Messages about labels and targets are raised by readers of examples alone."""
    assert named_options("data/*.py") - EXAMPLES_ONLY <= options(verb)


def test_one_set_of_options() -> None:
    for verb in READ_TEXTS:
        assert {f"--{name.replace('_', '-')}" for name in vars(TextOptions())} <= options(verb)
    for verb in READ_EXAMPLES:
        assert {f"--{name.replace('_', '-')}" for name in vars(DataOptions())} <= options(verb)
    given = DataOptions(separator=";", max_characters=5)
    assert given.read_options() == {"separator": ";", "max_characters": 5}
    assert TextOptions().read_options() == {}
