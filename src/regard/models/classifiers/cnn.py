"""Convolution, self-attention and attention pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.layers.dropout import Dropout
from regard.layers.multihead import MultiHeadAttention
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import mask_of_padding
from regard.models.classifiers.ensemble import (
    Encoded,
    EnsembleClassifier,
    TextEncoder,
    WordEmbedding,
)
from regard.models.classifiers.settings import CnnSettings

__all__ = ["Cnn"]


class CnnTextEncoder(TextEncoder):
    """Convolutional n-gram detectors (Kim 2014), self-attention between positions, attention pooling.

    Maps: `"encoder"`, the self-attention, and `"pooling"`.
    """

    def __init__(self, settings: CnnSettings) -> None:
        super().__init__()
        width = settings.width * len(settings.windows)
        self.embedding: WordEmbedding = WordEmbedding(settings)
        self.filters: nn.ModuleList = nn.ModuleList(
            nn.Conv1d(settings.embedding, settings.width, window) for window in settings.windows
        )
        self.attention: MultiHeadAttention = MultiHeadAttention(
            width, settings.self_attention_heads
        )
        self.dropout: Dropout = Dropout(settings.dropout)
        self.pooling: AttentionPooling = AttentionPooling(width, heads=settings.heads)
        self.max_pooling: bool = settings.max_pooling
        self.width: int = width * (settings.heads + settings.max_pooling)

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Convolve, attend and pool."""
        mask = mask_of_padding(lengths, ids.shape[1])
        keys = None if mask is None else mask[:, None, None]
        embedded = self.embedding(ids).mT
        found = torch.cat([_convolve(filters, embedded) for filters in self.filters], 1).relu().mT
        attended, self_attention = self.attention(self.dropout(found), mask=keys)
        pooled, weights = self.pooling(found + attended, mask)
        if self.max_pooling:
            real = found if mask is None else found.where(mask[..., None], 0.0)
            pooled = torch.cat([pooled, real.amax(1)], -1)
        return pooled, {"encoder": [self_attention], "pooling": [weights]}


def _convolve(filters: nn.Module, x: Tensor) -> Tensor:
    """Convolve with windows centred on each position; even ones reach one further to the right."""
    assert isinstance(filters, nn.Conv1d)
    padding = filters.kernel_size[0] - 1
    found: Tensor = filters(F.pad(x, (padding // 2, padding - padding // 2)))
    return found


class Cnn(EnsembleClassifier):
    """Classifier `cnn`: an ensemble of `CnnTextEncoder`."""

    def __init__(self, settings: CnnSettings) -> None:
        super().__init__(settings, lambda: CnnTextEncoder(settings))
