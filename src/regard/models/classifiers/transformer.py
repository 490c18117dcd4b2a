"""Transformer encoder with attention pooling or a first-token head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, padding
from regard.layers import Positions, RotaryPositions, SinusoidalPositions
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import mask_of_padding
from regard.models.classifiers.ensemble import (
    Encoded,
    EnsembleClassifier,
    TextEncoder,
    WordEmbedding,
)
from regard.models.classifiers.settings import TransformerClassifierSettings
from regard.models.settings import TransformerSettings
from regard.models.transformer_layers import EncoderLayer

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
        x, maps = self.states(ids, lengths)
        if self.pooling is None:
            return x[:, 0], {"encoder": maps}
        pooled, weights = self.pooling(x, mask_of_padding(lengths, ids.shape[1]))
        return pooled, {"encoder": maps, "pooling": [weights]}

    def states(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, list[AttentionMap]]:
        """States of the last layer, `(batch, length, width)`, and the map of each layer."""
        x = self.embedding(ids)
        if self.places is not None:
            x = x + self.places(ids.shape[1])
        mask = None if mask_of_padding(lengths, ids.shape[1]) is None else padding(lengths)
        maps: list[AttentionMap] = []
        for layer in self.layers:
            x, weights = layer(x, mask)
            maps.append(weights)
        return self.norm(x), maps


class TransformerClassifier(EnsembleClassifier):
    """Classifier `transformer-classifier`: an ensemble of `TransformerTextEncoder`."""

    def __init__(self, settings: TransformerClassifierSettings) -> None:
        super().__init__(settings, lambda: TransformerTextEncoder(settings))
        self._reads_cls: bool = settings.marks and settings.head == "first"
        if settings.marks:
            self.mask_id: int = settings.size - 1

    def token_attention(
        self, maps: Mapping[str, Sequence[AttentionMap]], lengths: Tensor
    ) -> Tensor:
        """Weight of each token, `(batch, heads, length)`: of a head on `[CLS]`, those that `[CLS]` gives.

        Other states of the last layer have no way to its answer.
        """
        if not self._reads_cls:
            return super().token_attention(maps, lengths)
        last = {layer.member: layer for layer in maps["encoder"]}  # of each member
        return torch.cat([layer[..., 0, :] for layer in last.values()], 1)
