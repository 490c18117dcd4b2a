from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import regard
from regard.data import Example, dates

SIZE = {"width": 16, "heads": 2, "feedforward": 16, "joint": False, "tokenizer": "char"}


def trained(task: str, out: Path, examples: Sequence[Example], **settings: object) -> Path:
    """A folder with a model that has seen two updates."""
    regard.train(task, train=examples, out=out, preset="tiny", settings={"steps": 2, **settings})  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="session")
def translators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two translators of dates, of two seeds."""
    out, lengths = tmp_path_factory.mktemp("translators"), {"decoding.max_length": 8}
    first, second = (
        trained("translation", out / str(seed), dates.generate(40), seed=seed, **SIZE, **lengths)
        for seed in (0, 1)
    )
    return first, second


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of languages and formats of dates."""
    examples = [
        Example(each.source, labels=(each.labels[1],), origin=each.origin)
        for each in dates.generate(120)
    ]
    return trained("classification", tmp_path_factory.mktemp("runs") / "formats", examples)
