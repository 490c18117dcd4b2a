"""Hierarchical attention: words are pooled to sentences, sentences to a document (Yang et al. 2016)."""

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

__all__ = ["Hierarchical", "Sentences", "split_sentences"]

_SENTENCE_ENDS = ".!?…。！？｡।؟"
_CLOSING_MARKS = "\"'”’»)]}"


class Sentences(NamedTuple):
    """Sentence boundaries of a batch of documents.

    Attributes:
        sentence: `(batch, length)`, index of each token's sentence in its document; -1 in the padding.
        position: `(batch, length)`, position of each token in its sentence.
        total: `(batch,)`, number of sentences of each document.
        lengths: `(batch, sentences)`, number of tokens of each sentence.
    """

    sentence: Tensor
    position: Tensor
    total: Tensor
    lengths: Tensor


def split_sentences(stops: Tensor, mask: Tensor, max_length: int) -> Sentences:
    """Split documents after each run of stops, and after `max_length` tokens without one.

    Args:
        stops: `(batch, length)` Boolean, `True` where a token may end a sentence.
        mask: `(batch, length)` Boolean, `False` in the padding.
        max_length: tokens of a sentence at most.
    """
    batch, length = mask.shape
    position = torch.arange(length, device=mask.device)
    before = torch.nn.functional.pad(stops, (1, 0))[:, :length]
    begins = before & ~stops  # "?!" and "..." end one sentence
    begins[:, :1] = True
    # First token of each token's sentence; long sentences then get more beginnings.
    start = torch.where(begins, position, 0).cummax(1).values
    begins |= (position - start) % max_length == 0
    start = torch.where(begins, position, 0).cummax(1).values
    sentence = torch.where(mask, begins.cumsum(1) - 1, -1)
    count = sentence.amax(1) + 1
    lengths = mask.new_zeros((batch, max(int(count.max()), 1)), dtype=torch.int64)
    lengths.scatter_add_(1, sentence.clamp(min=0), mask.long())
    return Sentences(sentence, position - start, count, lengths)


class HierarchicalTextEncoder(TextEncoder):
    """Two levels of a bidirectional GRU with attention pooling (Yang et al. 2016).

    Maps: `"words"`, `(batch, heads, sentences, length)`, in which each sentence attends to its own words,
    and `"sentences"`, `(batch, heads, 1, sentences)`.
    """

    stops: Tensor

    def __init__(self, settings: HierarchicalSettings) -> None:
        super().__init__()
        width, heads = 2 * settings.width, settings.heads
        self.max_sentence_length: int = settings.max_sentence_length
        self.embedding: WordEmbedding = WordEmbedding(settings)
        self.word_encoder: BidirectionalRnn = BidirectionalRnn(
            "gru", settings.embedding, settings.width
        )
        self.word_pooling: AttentionPooling = AttentionPooling(width, heads=heads)
        self.sentence_encoder: BidirectionalRnn = BidirectionalRnn(
            "gru", width * heads, settings.width
        )
        self.sentence_pooling: AttentionPooling = AttentionPooling(width, heads=heads)
        self.dropout: Dropout = Dropout(settings.dropout)
        self.width: int = width * heads
        self.register_buffer("stops", torch.zeros(settings.size, dtype=torch.bool))

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Encode and pool words to sentences, sentences to a document."""
        mask = padding_mask(lengths, ids.shape[1])
        found = split_sentences(self.stops[ids], mask, self.max_sentence_length)
        states = self._encode_words(ids, found)
        numbers = torch.arange(found.lengths.shape[1], device=ids.device)
        own_words = found.sentence[:, None] == numbers[:, None]  # (batch, sentences, length)
        vectors, words = self.word_pooling(states, own_words)
        states, _ = self.sentence_encoder(self.dropout(vectors), found.total.clamp(min=1))
        pooled, weights = self.sentence_pooling(states, padding_mask(found.total, len(numbers)))
        return pooled, {"words": [words], "sentences": [weights]}

    def _encode_words(self, ids: Tensor, found: Sentences) -> Tensor:
        """Encode each sentence on its own; states `(batch, length, width)` in the layout of `ids`."""
        real = found.lengths > 0
        # Move the sentences of all documents to rows of one batch ...
        row = torch.full_like(found.lengths, -1)
        row[real] = torch.arange(int(real.sum()), device=ids.device)
        document, position = torch.nonzero(found.sentence >= 0, as_tuple=True)
        sentence = row[document, found.sentence[document, position]]
        column = found.position[document, position]
        apart = ids.new_zeros(max(int(real.sum()), 1), max(int(found.lengths.max()), 1))
        apart[sentence, column] = ids[document, position]
        lengths = found.lengths[real] if real.any() else found.lengths.new_ones(1)
        encoded, _ = self.word_encoder(self.embedding(apart), lengths)
        # ... and their states back to the positions of their tokens.
        states: Tensor = encoded.new_zeros(*ids.shape, encoded.shape[-1])
        states[document, position] = encoded[sentence, column]
        return states


class Hierarchical(EnsembleClassifier):
    """Classifier `hierarchical`, for long documents: an ensemble of `HierarchicalTextEncoder`."""

    def __init__(self, settings: HierarchicalSettings) -> None:
        super().__init__(settings, lambda: HierarchicalTextEncoder(settings))

    def fit_features(
        self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor
    ) -> None:
        """Find the tokens that may end a sentence: those that end in a full stop or a similar mark."""
        stops = torch.tensor([_ends_sentence(surface) for surface in surfaces])
        for encoder in self.readers:
            assert isinstance(encoder, HierarchicalTextEncoder)
            encoder.stops.copy_(stops)


def _ends_sentence(surface: str) -> bool:
    kept = surface.strip().rstrip(_CLOSING_MARKS)
    return bool(kept) and kept[-1] in _SENTENCE_ENDS
