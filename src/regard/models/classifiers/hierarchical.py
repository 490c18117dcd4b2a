"""Hierarchical attention: words are pooled to sentences, sentences to a document (Yang et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regard.attention.exporting import is_exporting
from regard.layers.dropout import Dropout
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import mask_of_padding, padding_mask
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
    position = torch.arange(mask.shape[1], device=mask.device)
    before = stops.roll(1, 1)
    begins = (before & ~stops) | (position == 0)  # "?!" and "..." end one sentence
    # Long sentences get more beginnings.
    begins = begins | ((position - _first_tokens(begins)) % max_length == 0)
    sentence = torch.where(mask, begins.cumsum(1) - 1, -1)
    count = sentence.amax(1) + 1
    # A graph cannot tell whether a size is 1, and has an empty sentence more than a text of one sentence.
    least = 2 if is_exporting() else 1
    most: Any = count.max().clamp(min=least).item()  # `int` would fix the size
    torch._check(most >= least)  # type: ignore[no-untyped-call]
    lengths = torch.zeros_like(count)[:, None].repeat(1, most)
    lengths = lengths.scatter_add(1, sentence.clamp(min=0), mask.long())
    return Sentences(sentence, position - _first_tokens(begins), count, lengths)


def _first_tokens(begins: Tensor) -> Tensor:
    """Position of the first token of each token's sentence; every row begins one."""
    position = torch.arange(begins.shape[1], device=begins.device)
    number = begins.cumsum(1) - 1
    first = torch.zeros_like(number).scatter_add(1, number, torch.where(begins, position, 0))
    return first.gather(1, number)


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
        every = mask_of_padding(found.total, numbers.shape[0])
        pooled, weights = self.sentence_pooling(states, every)
        return pooled, {"words": [words], "sentences": [weights]}

    def _encode_words(self, ids: Tensor, found: Sentences) -> Tensor:
        """Encode each sentence on its own; states `(batch, length, width)` in the layout of `ids`."""
        if is_exporting():
            return self._encode_padded(ids, found)
        real = found.lengths > 0
        if real.shape[1] == 1 and real.all():  # documents of one sentence each are apart already
            whole: Tensor = self.word_encoder(self.embedding(ids), found.lengths[:, 0])[0]
            return whole
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

    def _encode_padded(self, ids: Tensor, found: Sentences) -> Tensor:
        """`_encode_words` for a graph: a row for each sentence that the longest document could have."""
        longest = self.max_sentence_length
        batch, sentences = found.lengths.shape
        real = found.sentence >= 0
        room = sentences * longest
        place = torch.where(real, found.sentence * longest + found.position, room)
        apart = torch.zeros_like(ids[:, :1]).repeat(1, room + 1).scatter(1, place, ids)
        apart = apart[:, :-1].reshape(batch * sentences, longest)
        encoded, _ = self.word_encoder(self.embedding(apart), found.lengths.flatten().clamp(min=1))
        states = encoded.reshape(batch, room, encoded.shape[-1])
        place = torch.where(real, place, 0)[..., None].expand(-1, -1, encoded.shape[-1])
        return torch.where(real[..., None], states.gather(1, place), 0.0)


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
