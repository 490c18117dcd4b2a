"""Classifiers whose every number is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from regard.evaluation.faithfulness.contracts import Ids, ReweightableClassifier, TrustSettings
from regard.evaluation.faithfulness.trust import trust
from regard.evaluation.faithfulness.verdict import Verdict
from regard.evaluation.metrics.intervals import Floats

TEXT = [7, 9, 8, 7, 6]  # gradient x input ranks the positions 4, 3, 2, 1, 0


class KnownClassifier:
    """p(class 1) is 0.2 + 0.7 x the attention on token 9; all of its own attention is there."""

    def __init__(self) -> None:
        self.mask_id, self.special_ids, self.multilabel = 1, frozenset({2}), False

    def predict(self, texts: Sequence[Ids]) -> Floats:
        return self.predict_with_attention(texts, self.attention(texts))

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        weights = [(np.array(text) == 9) / max(1, list(text).count(9)) for text in texts]
        return [w[None].astype(float) for w in weights]

    def gradient_x_input(self, texts: Sequence[Ids]) -> list[Floats]:
        return [np.arange(len(text), dtype=float) for text in texts]

    def predict_with_attention(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        p = [
            0.2 + 0.7 * w.mean(0)[np.array(t) == 9].sum()
            for t, w in zip(texts, weights, strict=True)
        ]
        return np.stack([1 - np.array(p), p], -1)


class KnownTagger(KnownClassifier):
    """Label 1 as class 1 of `KnownClassifier`, less 0.2; label 0 has 0.6 wherever a 7 is."""

    def __init__(self) -> None:
        super().__init__()
        self.multilabel = True

    def predict_with_attention(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        nine = super().predict_with_attention(texts, weights)[:, 1] - 0.2
        seven = np.array([0.6 * (7 in text) for text in texts])
        return np.stack([seven, nine], -1)


@pytest.fixture
def known_classifier() -> ReweightableClassifier:
    return KnownClassifier()


@pytest.fixture
def known_tagger() -> ReweightableClassifier:
    return KnownTagger()


@pytest.fixture(scope="session")
def known() -> Verdict:
    """The verdict on `KnownClassifier` with eight times the text 7 9 8 7 6."""
    settings = TrustSettings(permutations=200, random_rankings=60)
    return trust(
        KnownClassifier(), [TEXT] * 8, settings=settings, id_to_token=lambda token: f"<{token}>"
    )
