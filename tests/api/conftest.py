from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

import regard
from regard.api import (
    AbstractiveSummarizer,
    Classifier,
    ExtractiveSummarizer,
    Generator,
    Model,
    Translator,
)
from regard.data import Example, dates

M = TypeVar("M", bound=Model)

TINY = {"steps": 3, "batch_tokens": 512, "warmup": 1, "ema": 0.0, "log_every": 1}
WORDS = ["red", "green", "blue", "gold", "grey", "pink"]


def pairs(count: int = 40) -> list[Example]:
    return dates.generate(count, seed=3)


def labelled(count: int = 40) -> list[Example]:
    texts = [f"{WORDS[i % 6]} {WORDS[i % 5]} is {'good' if i % 2 else 'bad'}" for i in range(count)]
    return [Example(text, labels=("yes" if i % 2 else "no",)) for i, text in enumerate(texts)]


def several(count: int = 40) -> list[Example]:
    return [
        Example(f"{WORDS[i % 6]} and {WORDS[i % 5]}", labels=tuple({WORDS[i % 6], WORDS[i % 5]}))
        for i in range(count)
    ]


def documents(count: int = 20) -> list[Example]:
    return [
        Example(
            (f"The {WORDS[i % 6]} zyx{i} sings.", "Nobody knows.", f"It is {WORDS[i % 5]}."),
            f"the {WORDS[i % 6]} zyx{i} sings",
            references=(f"the {WORDS[i % 6]} zyx{i} sings", f"it is {WORDS[i % 5]}"),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    out = tmp_path_factory.mktemp("models") / "dates"
    small = {"tokenizer": "char", "width": 16, "heads": 2, "feedforward": 16, "max_length": 12}
    settings = {**TINY, **small, "joint": False, "decoding.max_length": 12}
    del settings["max_length"]
    model = regard.train(
        "translation", train=pairs(), valid=pairs(5), out=out, preset="tiny", settings=settings
    )
    assert isinstance(model, Translator)
    return model


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    out = tmp_path_factory.mktemp("models") / "mood"
    model = regard.train(
        "classification", train=labelled(), out=out, preset="tiny", settings={**TINY, "members": 2}
    )
    assert isinstance(model, Classifier)
    return model


@pytest.fixture(scope="session")
def extractive(tmp_path_factory: pytest.TempPathFactory) -> ExtractiveSummarizer:
    out = tmp_path_factory.mktemp("models") / "short"
    model = regard.train(
        "summarization", train=documents(), out=out, preset="tiny", settings={**TINY, "width": 8}
    )
    assert isinstance(model, ExtractiveSummarizer)
    return model


@pytest.fixture(scope="session")
def abstractive(tmp_path_factory: pytest.TempPathFactory) -> AbstractiveSummarizer:
    out = tmp_path_factory.mktemp("models") / "written"
    model = regard.train(
        "summarization",
        train=documents(),
        out=out,
        model="pointer",
        preset="tiny",
        settings={**TINY, "width": 8, "embedding": 8, "min_count": 3, "max_length": 5},
    )
    assert isinstance(model, AbstractiveSummarizer)
    return model


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    out = tmp_path_factory.mktemp("models") / "book"
    examples = [Example(example.text) for example in labelled()]
    small = {"width": 16, "heads": 2, "feedforward": 16, "max_length": 6, "vocabulary": 60}
    model = regard.train(
        "language", train=examples, out=out, preset="tiny", settings={**TINY, **small}
    )
    assert isinstance(model, Generator)
    return model


@pytest.fixture(scope="session")
def reloaded() -> Callable[[M], M]:
    """A model once more, from its folder."""

    def reload(model: M) -> M:
        assert model.folder is not None
        again = regard.load(model.folder)
        assert isinstance(again, type(model))
        return again

    return reload


@pytest.fixture(scope="session")
def folder_of(translator: Translator) -> Path:
    assert translator.folder is not None
    return translator.folder
