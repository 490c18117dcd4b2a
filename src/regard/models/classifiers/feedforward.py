"""Attention pooling of word vectors."""

from __future__ import annotations

from torch import Tensor

from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import mask_of_padding
from regard.models.classifiers.ensemble import (
    Encoded,
    EnsembleClassifier,
    TextEncoder,
    WordEmbedding,
)
from regard.models.classifiers.settings import FeedForwardSettings

__all__ = ["FeedForward"]


class FeedForwardTextEncoder(TextEncoder):
    """Embedding and attention pooling (map `"pooling"`); the order of words has no effect."""

    def __init__(self, settings: FeedForwardSettings) -> None:
        super().__init__()
        self.embedding: WordEmbedding = WordEmbedding(settings)
        self.pooling: AttentionPooling = AttentionPooling(settings.embedding, heads=settings.heads)
        self.width: int = settings.embedding * settings.heads

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Embed and pool."""
        mask = mask_of_padding(lengths, ids.shape[1])
        pooled, weights = self.pooling(self.embedding(ids), mask)
        return pooled, {"pooling": [weights]}


class FeedForward(EnsembleClassifier):
    """Classifier `feedforward`: an ensemble of `FeedForwardTextEncoder`."""

    def __init__(self, settings: FeedForwardSettings) -> None:
        super().__init__(settings, lambda: FeedForwardTextEncoder(settings))
