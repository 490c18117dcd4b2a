from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regard.learn import find_exercise
from regard.learn.judge import judge

os.environ.setdefault("KERAS_BACKEND", "torch")  # as the judge does

Judged = Callable[[str, str], dict[str, Any]]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    """What the checks of an exercise find in a source text; in this process, for speed: the texts are ours."""

    def run(name: str, source: str) -> dict[str, Any]:
        path = tmp_path / f"exercise_{name}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return judge(find_exercise(name), path)

    return run


@pytest.fixture
def passes(judged: Judged) -> Callable[[str, str], None]:
    """A right answer passes every check."""

    def check(name: str, source: str) -> None:
        found = judged(name, source)
        assert found["failed"] is None, found
        assert len(found["passed"]) == len(find_exercise(name).checks)

    return check


@pytest.fixture
def hints(judged: Judged) -> Callable[[str, str, str], None]:
    """A wrong answer gets the hint that names its misconception."""

    def check(name: str, source: str, hint: str) -> None:
        found = judged(name, source)
        assert found["failed"] is not None, f"passes: {source}"
        assert hint in found["hint"], found

    return check
