"""Pointer-generator network with coverage, for summarisation (See, Liu and Manning 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.exporting import is_exporting
from regard.layers import Dropout, PointerAttention, copy_distribution
from regard.layers.linear import Linear
from regard.models.building_blocks import Embedding, padding_mask
from regard.models.contracts import EncoderDecoder, Memory, Output, State, Step
from regard.models.recurrent_layers import BidirectionalRnn, DecoderRnn, Hidden
from regard.models.settings import ModelSettings, PointerSettings
from regard.text import PAD, UNK

__all__ = ["PointerGenerator", "assign_copy_ids"]


@dataclass(frozen=True)
class PointerMemory(Memory):
    """Encoder states, their projection for the score, and the words that can be copied.

    Attributes:
        states: `(batch, keys, features)`, the values.
        projected_key: `(batch, keys, hidden)`.
        summary: `(batch, width)`, initial state of the decoder.
        source: `(batch, keys)` ids, including those beyond the vocabulary.
    """

    states: Tensor
    projected_key: Tensor
    summary: Tensor
    source: Tensor


@dataclass(frozen=True)
class PointerState(State):
    """State of the decoder.

    Attributes:
        hidden: of the cell.
        context: `(batch, features)`, context vector of the step before.
        coverage: `(batch, keys)`, sum of the attention weights of all steps so far.
    """

    hidden: Hidden
    context: Tensor
    coverage: Tensor


class PointerGenerator(EncoderDecoder):
    r"""Decoder that generates a word of the vocabulary or copies one of the source.

    .. math:: P(w) = p \, P_{\mathrm{vocab}}(w) + (1 - p) \sum_{i: w_i = w} a_{ti}, \quad
              p = \sigma(w_c c_t + w_s s_t + w_x x_t + b)

    with the context vector :math:`c_t`, the decoder state :math:`s_t` and the input :math:`x_t`.

    Source and target share a vocabulary. A word outside it can still be copied: in the source (and in
    the target) it has an id of `size` or more that is its own within the example; `assign_copy_ids` assigns
    them. `logits` are log-probabilities and reach up to the largest such id of the batch.

    `Output.penalty` is the coverage loss, which penalises attending again to what was attended to before:

    .. math:: \lambda \sum_i \min(a_{ti}, \textstyle\sum_{t' < t} a_{t'i})
    """

    copies: bool = True

    def __init__(self, settings: PointerSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        self.size: int = settings.size
        self.coverage_weight: float = settings.coverage
        size, width = settings.embedding, settings.width
        self.embedding: Embedding = Embedding(settings.size, size)
        self.dropout: Dropout = Dropout(settings.dropout)
        self.encoder: BidirectionalRnn = BidirectionalRnn(settings.cell, size, width)
        self.bridge: nn.Linear = nn.Linear(2 * width, width)
        self.attention: PointerAttention = PointerAttention(
            width, 2 * width, coverage=settings.coverage > 0
        )
        self.cell: DecoderRnn = DecoderRnn(settings.cell, size, width, feed=2 * width)
        self.combine: Linear = Linear(3 * width, size)
        self.output: Linear = Linear(size, settings.size)
        self.writes: nn.Linear = nn.Linear(3 * width + size, 1)
        nn.init.zeros_(self.output.bias)
        if settings.tied:
            self.output.weight = self.embedding.weight

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        """Run with teacher forcing; maps under `"cross"`."""
        memory = self.encode(source, source_lengths)
        embedded = self.dropout(self._embed(target))
        state, features, rows, repeated = self.start(memory), [], [], []
        steps = zip(embedded.unbind(1), self.cell.project_inputs(embedded).unbind(1), strict=True)
        for token, projected in steps:
            before = state.coverage
            state, feature, weights = self._advance(token, projected, state, memory)
            features.append(feature)
            rows.append(weights)
            repeated.append(torch.minimum(weights, before).sum(-1))
        weights = torch.stack(rows, 1)
        logits = _log(self._mixture(torch.stack(features, 1), weights, memory))
        return Output(
            logits,
            {"cross": [AttentionMap.from_dense(weights)]},
            self._penalty(torch.stack(repeated, 1), target != PAD),
        )

    def encode(self, source: Tensor, source_lengths: Tensor) -> PointerMemory:
        """Encode the source and project it for the score."""
        states, last = self.encoder(self.dropout(self._embed(source)), source_lengths)
        return PointerMemory(
            padding_mask(source_lengths, source.shape[1]),
            states,
            self.attention.project_keys(states),
            torch.tanh(self.bridge(last)),
            source,
        )

    def start(self, memory: Memory) -> PointerState:
        """Start from the encoder's last states, with a coverage of zeros."""
        assert isinstance(memory, PointerMemory)
        context = torch.zeros_like(memory.states[:, 0])
        coverage = torch.zeros_like(
            memory.mask, dtype=torch.promote_types(context.dtype, torch.float32)
        )
        return PointerState(self.cell.initial_state(memory.summary), context, coverage)

    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        """Feed one token per row; ids beyond the vocabulary are embedded as UNK."""
        assert isinstance(state, PointerState)
        assert isinstance(memory, PointerMemory)
        embedded = self._embed(token)
        state, feature, weights = self._advance(
            embedded, self.cell.project_inputs(embedded), state, memory
        )
        batch = memory.batch
        mixed = self._mixture(_grouped(feature, batch), _grouped(weights, batch), memory)
        logits = _log(mixed)
        # A word that only another source of the batch holds can never be written here, not even where
        # the constraints of decoding leave nothing better.
        copied = slice(self.size, None)
        logits[..., copied].masked_fill_(mixed[..., copied] == 0, -torch.inf)
        return Step(logits.flatten(0, 1), state, weights)

    def _embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(ids.where(ids < self.size, UNK))
        return embedded

    def _advance(
        self, token: Tensor, projected: Tensor, state: PointerState, memory: PointerMemory
    ) -> tuple[PointerState, Tensor, Tensor]:
        """Run cell and attention.

        Returns:
            The state, the features that the word is predicted from `(rows, features)`, and the
            attention weights `(rows, keys)`.
        """
        output, hidden = self.cell.step(projected, state.context, state.hidden)
        context, weights, coverage = self.attention(
            _grouped(output, memory.batch),
            memory.projected_key,
            memory.states,
            coverage=_grouped(state.coverage, memory.batch),
            mask=memory.mask,
        )
        context, weights = context.flatten(0, 1), weights.flatten(0, 1)
        feature = torch.cat([context, output, token], -1)
        return PointerState(hidden, context, coverage.flatten(0, 1)), feature, weights

    def _mixture(self, features: Tensor, weights: Tensor, memory: PointerMemory) -> Tensor:
        """Mix generation and copying.

        Returns:
            Probabilities `(batch, queries, size + words outside the vocabulary)`.
        """
        known = self.size
        # In a graph there is room for as many words as a source of this length can add.
        most = memory.source.shape[1] if is_exporting() else int(memory.source.max()) + 1 - known
        size = known + (most if is_exporting() else max(0, most))
        inner = self.dropout(
            torch.tanh(self.combine(features[..., : -self.embedding.embedding_dim]))
        )
        generated = self.output(inner).to(weights.dtype).softmax(-1)
        p_generate = torch.sigmoid(self.writes(features).to(weights.dtype))
        mixed = (1 - p_generate) * copy_distribution(weights, memory.source, size)
        return mixed + nn.functional.pad(p_generate * generated, (0, size - known))

    def _penalty(self, repeated: Tensor, real: Tensor) -> Tensor | None:
        if not self.coverage_weight:
            return None
        mean: Tensor = (repeated * real).sum() / real.sum()
        return self.coverage_weight * mean


def _log(probabilities: Tensor) -> Tensor:
    """Logarithm that stays finite where a probability has underflowed to 0."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def _grouped(x: Tensor, batch: int) -> Tensor:
    """Reshape rows `(batch * n, features)` that share a row of memory to `(batch, n, features)`."""
    return x.view(batch, -1, x.shape[-1])


def assign_copy_ids(
    words: Sequence[str], ids: Sequence[int], size: int
) -> tuple[list[int], dict[str, int]]:
    """Assign ids beyond the vocabulary to the unknown words of one source, so that they can be copied.

    Args:
        words: of the source.
        ids: of the words, UNK for those outside the vocabulary.
        size: of the vocabulary.

    Returns:
        The ids with those of unknown words in place of UNK, and the unknown words with their ids, to
        encode the target and decode the answer.

    >>> assign_copy_ids(["the", "Zyx", "of", "Zyx"], [5, 1, 7, 1], 100)
    ([5, 100, 7, 100], {'Zyx': 100})
    """
    unknown: dict[str, int] = {}
    replaced = [
        unknown.setdefault(word, size + len(unknown)) if index == UNK else index
        for word, index in zip(words, ids, strict=True)
    ]
    return replaced, unknown
