"""Transformer encoder with attention pooling or a first-token head."""

from __future__ import annotations

from torch import Tensor, nn

from regard.attention import padding
from regard.layers import Positions, RotaryPositions, SinusoidalPositions
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import padding_mask
from regard.models.classifiers.ensemble import (
    Encoded,
    EnsembleClassifier,
    TextEncoder,
    WordEmbedding,
)
from regard.models.classifiers.settings import TransformerClassifierSettings
from regard.models.settings import TransformerSettings
from regard.models.transformer import EncoderLayer

__all__ = ["TransformerClassifier"]


class TransformerTextEncoder(TextEncoder):
    """Self-attention layers (maps `"encoder"`), then attention pooling (`"pooling"`) or the first state.

    The first-token head is meant for texts that begin with a special token (BERT's `[CLS]`). On others
    it takes the state of the first word.

    `places` holds positions that are added to embeddings; its name is a key of saved weights.
    """

    def __init__(self, settings: TransformerClassifierSettings) -> None:
        super().__init__()
        width, rotary = settings.embedding, settings.positions == "rotary"
        self.embedding: WordEmbedding = WordEmbedding(settings)
        self.places: SinusoidalPositions | None = None if rotary else SinusoidalPositions(width)
        inside = RotaryPositions() if rotary else Positions()
        layer = TransformerSettings(
            source_size=settings.size,
            target_size=settings.size,
            width=width,
            heads=settings.self_attention_heads,
            feedforward=settings.feedforward,
            dropout=settings.dropout,
        )
        self.layers: nn.ModuleList = nn.ModuleList(
            EncoderLayer(layer, inside) for _ in range(settings.layers)
        )
        self.norm: nn.LayerNorm = nn.LayerNorm(width)
        pooled = settings.head == "pooled"
        self.pooling: AttentionPooling | None = (
            AttentionPooling(width, heads=settings.heads) if pooled else None
        )
        self.width: int = width * settings.heads if pooled else width

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Encode, then pool or take the first state."""
        x = self.embedding(ids)
        if self.places is not None:
            x = x + self.places(ids.shape[1])
        mask = padding(lengths)
        maps = []
        for layer in self.layers:
            x, weights = layer(x, mask)
            maps.append(weights)
        x = self.norm(x)
        if self.pooling is None:
            return x[:, 0], {"encoder": maps}
        pooled, weights = self.pooling(x, padding_mask(lengths, ids.shape[1]))
        return pooled, {"encoder": maps, "pooling": [weights]}


class TransformerClassifier(EnsembleClassifier):
    """Classifier `transformer-classifier`: an ensemble of `TransformerTextEncoder`."""

    def __init__(self, settings: TransformerClassifierSettings) -> None:
        super().__init__(settings, lambda: TransformerTextEncoder(settings))
