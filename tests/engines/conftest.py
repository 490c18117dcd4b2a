from __future__ import annotations

from pathlib import Path

import pytest

import regard
from regard.data import dates


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a translator of dates that has seen three updates."""
    out = tmp_path_factory.mktemp("runs") / "dates"
    size = {"width": 16, "heads": 2, "feedforward": 16, "joint": False, "tokenizer": "char"}
    regard.train(
        "translation",
        train=dates.generate(40),
        valid=dates.generate(4, part="valid"),
        out=out,
        preset="tiny",
        settings={**size, "steps": 3, "decoding.min_length": 4, "decoding.max_length": 12},
    )
    return out
