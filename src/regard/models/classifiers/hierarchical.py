"""Hierarchical attention: words make sentences, sentences make the document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regard.layers.dropout import Dropout
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import padding_mask
from regard.models.classifiers.ensemble import (
    Encoded,
    EnsembleClassifier,
    TextEncoder,
    WordEmbedding,
)
from regard.models.classifiers.settings import HierarchicalSettings
from regard.models.recurrent_layers import BidirectionalRnn

__all__ = ["Hierarchical", "Sentences"]

_STOPS = ".!?…。！？｡।؟"
_CLOSING = "\"'”’»)]}"


class Sentences(NamedTuple):
    """Where the sentences of a batch are.

    Attributes:
        number: `(batch, length)`, the sentence of each token in its document; -1 in the padding.
        place: `(batch, length)`, the token's place in its sentence.
        total: `(batch,)`, how many sentences each document has.
        lengths: `(batch, sentences)`, how many tokens each sentence has.
    """

    number: Tensor
    place: Tensor
    total: Tensor
    lengths: Tensor


def sentences(stops: Tensor, mask: Tensor, longest: int) -> Sentences:
    """Cut documents after a run of stops, and after `longest` tokens without one.

    Args:
        stops: `(batch, length)` Boolean, `True` where a token may end a sentence.
        mask: `(batch, length)` Boolean, `True` where a token stands.
        longest: tokens of a sentence at most.
    """
    batch, length = mask.shape
    places = torch.arange(length, device=mask.device)
    before = torch.nn.functional.pad(stops, (1, 0))[:, :length]
    begins = before & ~stops  # "?!" and "..." end one sentence
    begins[:, :1] = True
    start = torch.where(begins, places, 0).cummax(1).values
    begins |= (places - start) % longest == 0
    start = torch.where(begins, places, 0).cummax(1).values
    number = torch.where(mask, begins.cumsum(1) - 1, -1)
    count = number.amax(1) + 1
    lengths = mask.new_zeros((batch, max(int(count.max()), 1)), dtype=torch.int64)
    lengths.scatter_add_(1, number.clamp(min=0), mask.long())
    return Sentences(number, places - start, count, lengths)


class HierarchicalTextEncoder(TextEncoder):
    """Two levels of a bidirectional GRU with attention pooling (Yang et al. 2016).

    Maps: `"words"`, `(batch, heads, sentences, length)`, in which each sentence looks at its own words,
    and `"sentences"`, `(batch, heads, 1, sentences)`.
    """

    stops: Tensor

    def __init__(self, settings: HierarchicalSettings) -> None:
        super().__init__()
        width, heads = 2 * settings.width, settings.heads
        self.longest = settings.max_sentence_length
        self.embedding = WordEmbedding(settings)
        self.word_encoder = BidirectionalRnn("gru", settings.embedding, settings.width)
        self.word_pooling = AttentionPooling(width, heads=heads)
        self.sentence_encoder = BidirectionalRnn("gru", width * heads, settings.width)
        self.sentence_pooling = AttentionPooling(width, heads=heads)
        self.dropout = Dropout(settings.dropout)
        self.width = width * heads
        self.register_buffer("stops", torch.zeros(settings.size, dtype=torch.bool))

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Words to sentences, sentences to a document."""
        mask = padding_mask(lengths, ids.shape[1])
        found = sentences(self.stops[ids], mask, self.longest)
        states = self._read_words(ids, found)
        numbers = torch.arange(found.lengths.shape[1], device=ids.device)
        members = found.number[:, None] == numbers[:, None]
        vectors, words = self.word_pooling(states, members)
        states, _ = self.sentence_encoder(self.dropout(vectors), found.total.clamp(min=1))
        pooled, weights = self.sentence_pooling(states, padding_mask(found.total, len(numbers)))
        return pooled, {"words": [words], "sentences": [weights]}

    def _read_words(self, ids: Tensor, found: Sentences) -> Tensor:
        """States `(batch, length, width)` of an encoder that reads each sentence by itself."""
        real = found.lengths > 0
        row = torch.full_like(found.lengths, -1)  # of each sentence among all sentences
        row[real] = torch.arange(int(real.sum()), device=ids.device)
        document, place = torch.nonzero(found.number >= 0, as_tuple=True)
        sentence = row[document, found.number[document, place]]
        column = found.place[document, place]
        apart = ids.new_zeros(max(int(real.sum()), 1), max(int(found.lengths.max()), 1))
        apart[sentence, column] = ids[document, place]
        lengths = found.lengths[real] if real.any() else found.lengths.new_ones(1)
        read, _ = self.word_encoder(self.embedding(apart), lengths)
        states: Tensor = read.new_zeros(*ids.shape, read.shape[-1])
        states[document, place] = read[sentence, column]
        return states


class Hierarchical(EnsembleClassifier):
    """`hierarchical`, for long documents."""

    settings: HierarchicalSettings

    def new_encoder(self) -> HierarchicalTextEncoder:
        """A member."""
        return HierarchicalTextEncoder(self.settings)

    def fit_features(
        self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor
    ) -> None:
        """Find the tokens that may end a sentence: full stops and their like."""
        stops = torch.tensor([_ends(surface) for surface in surfaces])
        for reader in self.readers:
            assert isinstance(reader, HierarchicalTextEncoder)
            reader.stops.copy_(stops)


def _ends(surface: str) -> bool:
    kept = surface.strip().rstrip(_CLOSING)
    return bool(kept) and kept[-1] in _STOPS
