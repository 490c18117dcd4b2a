"""What the classifiers share: readers that vote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.layers.dropout import Dropout
from regard.models.classifiers.settings import ClassifierSettings
from regard.models.contracts import Classifier, Output
from regard.models.parts import Embedding
from regard.text import UNK

__all__ = ["Reader", "ReadingClassifier", "WordEmbedding"]

Reading = tuple[Tensor, Mapping[str, list[AttentionMap]]]


class Reader(nn.Module, ABC):
    """Ids to one vector a text.

    Attributes:
        width: of the vector.
    """

    width: int

    @abstractmethod
    def forward(self, ids: Tensor, lengths: Tensor) -> Reading:
        """`(batch, length)` ids to `(batch, width)`, and maps by place."""


class ReadingClassifier(Classifier):
    """A linear layer on what a reader reads; several readers vote.

    The members differ in their first weights and in their dropout alone. Each is trained for itself
    (`Output.members`); the logits are the mean of theirs, which takes out much of what a single one
    learned by chance (Hansen and Salamon 1990).
    """

    settings: ClassifierSettings

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        readers = [self.reader() for _ in range(settings.members)]
        self.readers = nn.ModuleList(readers)
        self.outputs = nn.ModuleList(nn.Linear(r.width, settings.labels) for r in readers)
        self.dropout = Dropout(settings.dropout)

    @abstractmethod
    def reader(self) -> Reader:
        """A member, freshly initialised."""

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Maps hold those of every member, one after another."""
        votes, maps = [], dict[str, list[AttentionMap]]()
        for reader, output in zip(self.readers, self.outputs, strict=True):
            vector, found = reader(ids, lengths)
            votes.append(output(self.dropout(vector)))
            for place, layers in found.items():
                maps.setdefault(place, []).extend(layers)
        if len(votes) == 1:
            return Output(votes[0], maps)
        members = torch.stack(votes)
        return Output(members.mean(0), maps, members=members)


class WordEmbedding(nn.Module):
    """Token vectors; in training some tokens are read as unknown, so that unknown words are learned too.

    Args:
        settings: size, width and rates.
    """

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.embedding = Embedding(settings.size, settings.embedding)
        self.dropout, self.rate = Dropout(settings.dropout), settings.word_dropout

    def forward(self, ids: Tensor) -> Tensor:
        """`(...)` ids to `(..., embedding)`; padding is zero."""
        if self.training and self.rate:
            hidden = torch.rand(ids.shape, device=ids.device) < self.rate
            ids = torch.where(hidden & (ids != 0), UNK, ids)
        embedded: Tensor = self.dropout(self.embedding(ids))
        return embedded
