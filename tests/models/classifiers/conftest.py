"""Classifiers of a small vocabulary; reviews in two classes, and n-gram classifiers fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

from regard.models import Classifier, build, configure
from regard.models.classifiers.ngram_linear import NgramLinear
from regard.models.classifiers.settings import WideSettings
from regard.text import Tokenizer

Pad: TypeAlias = Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def surfaces() -> list[str]:
    """What each id of the small vocabulary adds to a text."""
    words = [f" {letter}" for letter in "abcdefghijklmnopqrs"]
    return ["", "\ufffd", "", "", *words, ".", " !?", ' ."']


@pytest.fixture(scope="session")
def new_classifier(surfaces: list[str]) -> Callable[..., Classifier]:
    """Make a classifier of the small vocabulary."""

    def make(kind: str, labels: int = 3, **values: Any) -> Classifier:
        torch.manual_seed(0)
        network = build(configure(kind, "tiny", size=len(surfaces), labels=labels, **values))
        assert isinstance(network, Classifier)
        stop = surfaces.index(".")
        texts = [[5, 6, stop], [7, 8], [9, 5], [6, 7]]
        network.fit_features(surfaces, texts, torch.tensor([0, 1, 0, 1]))
        return network

    return make


@pytest.fixture(scope="session")
def new_batch(surfaces: list[str]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Make texts of the small vocabulary with a full stop at every fifth token."""

    def make(lengths: tuple[int, ...] = (13, 7, 1)) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        ids = torch.randint(4, len(surfaces) - 3, (len(lengths), max(lengths)))
        ids[:, 3::5] = surfaces.index(".")
        ids[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0
        return ids, torch.tensor(lengths)

    return make


@pytest.fixture(scope="session")
def reviews() -> list[str]:
    return [
        "Good case, excellent value!",
        "it's not good",
        "not a good case at all",
        "excellent excellent value",
        "never again :(",
        "an excellent case",
        "it's bad",
    ]


@pytest.fixture(scope="session")
def classes() -> Tensor:
    """Whether each review is good."""
    return torch.tensor([1, 0, 0, 1, 0, 1, 0])


@pytest.fixture(scope="session")
def tokenizer(reviews: list[str]) -> Tokenizer:
    return Tokenizer.train(reviews, kind="bpe", size=60, lowercase=True)


@pytest.fixture(scope="session")
def padded() -> Pad:
    """Pad ids to the right: `(batch, length)` and lengths."""

    def pad(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(text) for text in texts])
        ids = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = torch.tensor(text)
        return ids, lengths

    return pad


@pytest.fixture(scope="session")
def encoded(tokenizer: Tokenizer, padded: Pad) -> Callable[[list[str]], tuple[Tensor, Tensor]]:
    """Encode texts as a batch."""
    return lambda texts: padded([e.ids for e in tokenizer.encode_batch(texts)])


@pytest.fixture(scope="session")
def fitted(reviews: list[str], classes: Tensor, tokenizer: Tokenizer) -> Callable[..., NgramLinear]:
    """Fit an n-gram classifier with some settings to the reviews."""

    def fit(labels: int = 2, targets: Tensor = classes, **values: Any) -> NgramLinear:
        linear = NgramLinear(WideSettings(size=len(tokenizer), labels=labels, **values))
        texts = [e.ids for e in tokenizer.encode_batch(reviews)]
        linear.fit(tokenizer.spelling, texts, targets)
        return linear

    return fit
