from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import regard
from regard.data import dates

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run() -> Run:
    """The command in a process of its own, as people meet it."""

    def command(
        *arguments: object, text: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        program = [sys.executable, "-m", "regard"]
        return subprocess.run(
            [*program, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )

    return command


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that has seen three updates."""
    out = tmp_path_factory.mktemp("runs") / "dates"
    settings = {"steps": 3, "width": 16, "heads": 2, "feedforward": 16, "joint": False}
    regard.train(
        "translation",
        train=dates.generate(40),
        valid=dates.generate(4, part="valid"),
        out=out,
        preset="tiny",
        # After three updates an end is the likeliest beginning; it writes something, if nonsense.
        settings={
            **settings,
            "tokenizer": "char",
            "decoding.min_length": 4,
            "decoding.max_length": 12,
        },
    )
    return out
