"""Layers of a Transformer's encoder and decoder (Vaswani et al. 2017), with pre- or post-normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.masks import Mask
from regard.layers import Cache, MultiHeadAttention, Positions
from regard.models.building_blocks import FeedForward, Residual
from regard.models.settings import TransformerSettings

__all__ = ["DecoderLayer", "EncoderLayer"]


def _residual(settings: TransformerSettings) -> Residual:
    return Residual(settings.width, norm=settings.norm, dropout=settings.dropout)


def _feedforward(settings: TransformerSettings) -> FeedForward:
    return FeedForward(
        settings.width,
        settings.feedforward,
        activation=settings.activation,
        dropout=settings.dropout,
    )


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each in a residual connection."""

    sharded_methods: ClassVar[tuple[str, ...]] = ()
    """Methods beside `forward` that use its weights: they may be divided over processes (`ShardedModel`)."""

    def __init__(self, settings: TransformerSettings, positions: Positions) -> None:
        super().__init__()
        self.attention: MultiHeadAttention = MultiHeadAttention(
            settings.width,
            settings.heads,
            positions=positions,
            dropout=settings.attention_dropout,
        )
        self.feedforward: FeedForward = _feedforward(settings)
        self.around_attention: Residual = _residual(settings)
        self.around_feedforward: Residual = _residual(settings)

    def forward(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, AttentionMap]:
        """Process `x` `(batch, length, width)`; also return the attention map."""
        y, weights = self.attention(self.around_attention.pre(x), mask=mask)
        x = self.around_attention.post(x, y)
        y = self.feedforward(self.around_feedforward.pre(x))
        return self.around_feedforward.post(x, y), weights


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and feed-forward, each in a residual connection."""

    sharded_methods: ClassVar[tuple[str, ...]] = ("project_memory",)

    def __init__(self, settings: TransformerSettings, positions: Positions) -> None:
        super().__init__()
        width, heads, dropout = settings.width, settings.heads, settings.attention_dropout
        self.attention: MultiHeadAttention = MultiHeadAttention(
            width, heads, positions=positions, dropout=dropout
        )
        self.cross: MultiHeadAttention = MultiHeadAttention(width, heads, dropout=dropout)
        self.feedforward: FeedForward = _feedforward(settings)
        self.around_attention: Residual = _residual(settings)
        self.around_cross: Residual = _residual(settings)
        self.around_feedforward: Residual = _residual(settings)

    def project_memory(self, states: Tensor) -> Cache:
        """Project the encoder states to keys and values, once for all steps."""
        return self.cross.project_memory(states)

    def forward(
        self, x: Tensor, memory: Cache, mask: Mask | Tensor | None, *, cache: Cache | None
    ) -> tuple[Tensor, AttentionMap, AttentionMap, Cache]:
        """Process new target positions `x` that follow those in `cache`.

        `x` may have `n` times the rows of `memory`: each row of the memory then serves `n` rows of `x`.

        Returns:
            `(batch, length, width)`, the maps of both attentions, and the cache with the new positions.
        """
        y, own, cache = self.attention.step(self.around_attention.pre(x), cache)
        x = self.around_attention.post(x, y)
        query = self.around_cross.pre(x)
        query = query.reshape(memory.key.shape[0], -1, query.shape[-1])
        y, cross = self.cross.attend_cached(query, memory, mask=mask)
        x = self.around_cross.post(x, y.view_as(x))
        y = self.feedforward(self.around_feedforward.pre(x))
        return self.around_feedforward.post(x, y), own, cross, cache
