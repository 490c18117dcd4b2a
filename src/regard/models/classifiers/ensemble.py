"""Classifiers made of text encoders with a linear layer each, averaged where there are several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.layers.dropout import Dropout
from regard.models.building_blocks import Embedding
from regard.models.classifiers.settings import ClassifierSettings
from regard.models.contracts import Classifier, Output
from regard.models.settings import ModelSettings
from regard.text import PAD, UNK

__all__ = ["Encoded", "EnsembleClassifier", "TextEncoder", "WordEmbedding"]

Encoded: TypeAlias = tuple[Tensor, Mapping[str, list[AttentionMap]]]
"""One vector per text `(batch, width)`, and maps by site of attention."""


class TextEncoder(nn.Module, ABC):
    """Token ids to one vector per text.

    Attributes:
        width: size of the vector.
    """

    width: int

    @abstractmethod
    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Encode `(batch, length)` ids as `(batch, width)`; also return the maps by site."""


class EnsembleClassifier(Classifier):
    """Text encoder with a linear layer, or the mean of several (Hansen and Salamon 1990).

    The members of an ensemble differ only in their initial weights and in their dropout. Each is trained
    by its own loss (`Output.ensemble_logits`); averaging their logits removes much of what a single
    one learned by chance.

    The encoders are in `readers`, the linear layers in `outputs`: the names are keys of saved weights.

    Args:
        settings: `labels`, `members` and `dropout` are used.
        new_encoder: makes the encoder of one member, freshly initialised.
    """

    def __init__(
        self, settings: ClassifierSettings, new_encoder: Callable[[], TextEncoder]
    ) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        encoders = [new_encoder() for _ in range(settings.members)]
        self.readers: nn.ModuleList = nn.ModuleList(encoders)
        self.outputs: nn.ModuleList = nn.ModuleList(
            nn.Linear(e.width, settings.labels) for e in encoders
        )
        self.dropout: Dropout = Dropout(settings.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Classify; the maps of all members are concatenated, site by site, each marked with its member."""
        logits, maps = [], dict[str, list[AttentionMap]]()
        several = len(self.readers) > 1
        for member, (encoder, output) in enumerate(zip(self.readers, self.outputs, strict=True)):
            vector, found = encoder(ids, lengths)
            logits.append(output(self.dropout(vector)))
            for site, layers in found.items():
                own = [layer.of_member(member) for layer in layers] if several else layers
                maps.setdefault(site, []).extend(own)
        if len(logits) == 1:
            return Output(logits[0], maps)
        stacked = torch.stack(logits)
        return Output(stacked.mean(0), maps, ensemble_logits=stacked)


class WordEmbedding(nn.Module):
    """Token vectors with word dropout: in training some tokens are replaced by UNK, so that it is learned too.

    Args:
        settings: `size`, `embedding`, `dropout` and `word_dropout` are used.
    """

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.embedding: Embedding = Embedding(settings.size, settings.embedding)
        self.dropout: Dropout = Dropout(settings.dropout)
        self.rate: float = settings.word_dropout

    def forward(self, ids: Tensor) -> Tensor:
        """`(...)` ids to `(..., embedding)`; padding is zero."""
        if self.training and self.rate:
            dropped = torch.rand(ids.shape, device=ids.device) < self.rate
            ids = torch.where(dropped & (ids != PAD), UNK, ids)
        embedded: Tensor = self.dropout(self.embedding(ids))
        return embedded
