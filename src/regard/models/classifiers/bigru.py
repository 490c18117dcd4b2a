"""Bidirectional GRU with attention pooling."""

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
from regard.models.classifiers.settings import BigruSettings
from regard.models.recurrent_layers import BidirectionalRnn

__all__ = ["Bigru"]


class BigruTextEncoder(TextEncoder):
    """Embedding, bidirectional GRU, attention pooling (map `"pooling"`)."""

    def __init__(self, settings: BigruSettings) -> None:
        super().__init__()
        width = 2 * settings.width
        self.embedding: WordEmbedding = WordEmbedding(settings)
        self.encoder: BidirectionalRnn = BidirectionalRnn(
            "gru",
            settings.embedding,
            settings.width,
            layers=settings.layers,
            dropout=settings.dropout,
        )
        self.pooling: AttentionPooling = AttentionPooling(width, heads=settings.heads)
        self.width: int = width * settings.heads

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Encode and pool."""
        states, _ = self.encoder(self.embedding(ids), lengths)
        pooled, weights = self.pooling(states, mask_of_padding(lengths, ids.shape[1]))
        return pooled, {"pooling": [weights]}


class Bigru(EnsembleClassifier):
    """Classifier `bigru`: an ensemble of `BigruTextEncoder`."""

    def __init__(self, settings: BigruSettings) -> None:
        super().__init__(settings, lambda: BigruTextEncoder(settings))
