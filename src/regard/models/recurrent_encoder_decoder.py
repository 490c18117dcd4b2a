"""Recurrent encoder-decoder with attention (Bahdanau et al. 2015; Luong et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, padding
from regard.layers import AttentionalVector, BahdanauAttention, LuongScore, SingleHeadAttention
from regard.layers.deferred_gradients import DeferredMatmul, Matmul
from regard.layers.dropout import Dropout
from regard.layers.linear import Linear
from regard.layers.single_head import PLAIN_MATMUL
from regard.models.building_blocks import Embedding, WordDropout, padding_mask
from regard.models.contracts import EncoderDecoder, Memory, Output, State, Step
from regard.models.recurrent_layers import BidirectionalRnn, DecoderRnn, Hidden
from regard.models.settings import ModelSettings, RnnSettings

__all__ = ["RecurrentEncoderDecoder"]


@dataclass(frozen=True)
class RecurrentMemory(Memory):
    """Encoder states, with their projection for the score, computed once.

    Attributes:
        states: `(batch, keys, features)`, the values.
        projected_key: `(batch, keys, dim)`.
        summary: `(batch, width)`, initial state of the decoder.
    """

    states: Tensor
    projected_key: Tensor
    summary: Tensor


@dataclass(frozen=True)
class RecurrentState(State):
    """State of the decoder.

    Attributes:
        hidden: of every layer.
        attentional: `(batch, embedding)`, the attentional vector of the step before.
    """

    hidden: Hidden
    attentional: Tensor


class RecurrentEncoderDecoder(EncoderDecoder):
    r"""Bidirectional encoder, and a decoder whose new state is the query of each step.

    .. math:: s_t = \mathrm{cell}([E y_{t-1}; \tilde s_{t-1}], s_{t-1}), \quad
              c_t = \mathrm{attend}(s_t, h), \quad
              \tilde s_t = \tanh(W_c [c_t; s_t]), \quad
              p(y_t) = \mathrm{softmax}(W \tilde s_t)

    This is Luong's order (attention after the cell), with any score. Without input feeding
    :math:`\tilde s_{t-1}` is left out, and teacher forcing runs the cell over the whole target and then
    attends with all queries at once.
    """

    def __init__(self, settings: RnnSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        self.score = settings.score
        self.input_feeding: bool = settings.input_feeding
        size, width = settings.embedding, settings.width
        self.target: Embedding = Embedding(settings.target_size, size)
        self.source: nn.Embedding = (
            self.target if settings.joint else Embedding(settings.source_size, size)
        )
        self.dropout: Dropout = Dropout(settings.dropout)
        self.word_dropout: WordDropout = WordDropout(settings.word_dropout)
        self.encoder: BidirectionalRnn = BidirectionalRnn(
            settings.cell,
            size,
            width,
            layers=settings.encoder_layers,
            dropout=settings.dropout,
        )
        self.bridge: Linear = Linear(2 * width, width)
        keys = width if settings.score == "dot" else 2 * width
        self.attention: SingleHeadAttention = _attention(settings.score, width, keys)
        self.cell: DecoderRnn = DecoderRnn(
            settings.cell,
            size,
            width,
            feed=size if settings.input_feeding else 0,
            layers=settings.decoder_layers,
            dropout=settings.dropout,
        )
        self.combine: AttentionalVector = AttentionalVector(keys, width, size)
        self.output: Linear = Linear(size, settings.target_size)
        nn.init.zeros_(self.output.bias)
        if settings.tied:
            self.output.weight = self.target.weight

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        """Run with teacher forcing; maps under `"cross"`."""
        memory = self.encode(source, source_lengths)
        embedded = self.dropout(self.word_dropout(self.target(target)))
        decode = self._step_by_step if self.input_feeding else self._all_at_once
        attentional, weights = decode(embedded, memory)
        return Output(self.output(self.dropout(attentional)), {"cross": [weights]})

    def encode(self, source: Tensor, source_lengths: Tensor) -> RecurrentMemory:
        """Encode the source and project it for the score."""
        embedded = self.dropout(self.word_dropout(self.source(source)))
        states, last = self.encoder(embedded, source_lengths)
        if self.score == "dot":  # needs equal widths, so the two directions are added
            states = states.unflatten(-1, (2, -1)).sum(-2)
        states = self.dropout(states)
        mask = padding_mask(source_lengths, source.shape[1])
        summary = torch.tanh(self.bridge(last))
        return RecurrentMemory(mask, states, self.attention.project_keys(states), summary)

    def start(self, memory: Memory) -> RecurrentState:
        """Start from the encoder's last states, with an attentional vector of zeros."""
        assert isinstance(memory, RecurrentMemory)
        attentional = memory.summary.new_zeros(memory.batch, self.output.in_features)
        return RecurrentState(self.cell.initial_state(memory.summary), attentional)

    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        """Feed one token per row."""
        assert isinstance(state, RecurrentState)
        assert isinstance(memory, RecurrentMemory)
        projected = self.cell.project_inputs(self.target(token))
        state, weights = self._advance(projected, state, memory)
        return Step(self.output.into(state.attentional, out), state, weights)

    def _advance(
        self,
        projected: Tensor,
        state: RecurrentState,
        memory: RecurrentMemory,
        matmul: Matmul = PLAIN_MATMUL,
    ) -> tuple[RecurrentState, Tensor]:
        """Run cell, attention and attentional vector; the weights are `(rows, keys)`."""
        output, hidden = self.cell.step(projected, state.attentional, state.hidden, matmul)
        # Rows that share a row of memory are queries of one example: nothing of the memory is copied.
        query = output.view(memory.batch, -1, output.shape[-1])
        context, weights = self.attention.attend_step(
            query, memory.projected_key, memory.states, memory.mask, matmul
        )
        attentional = self.combine(context, query, matmul).flatten(0, 1)
        return RecurrentState(hidden, attentional), weights.flatten(0, 1)

    def _step_by_step(
        self, embedded: Tensor, memory: RecurrentMemory
    ) -> tuple[Tensor, AttentionMap]:
        """Decode with input feeding: each step needs the attentional vector of the one before."""
        state = self.start(memory)
        vectors, rows = [], []
        matmul = DeferredMatmul(embedded.shape[1]) if torch.is_grad_enabled() else PLAIN_MATMUL
        for projected in self.cell.project_inputs(embedded).unbind(1):
            state, weights = self._advance(projected, state, memory, matmul)
            vectors.append(state.attentional)
            rows.append(weights)
        return torch.stack(vectors, 1), AttentionMap.from_dense(torch.stack(rows, 1))

    def _all_at_once(
        self, embedded: Tensor, memory: RecurrentMemory
    ) -> tuple[Tensor, AttentionMap]:
        """Run the cell over the whole target, then attend with all queries at once."""
        queries = self.cell.run_all(embedded, self.cell.initial_state(memory.summary))
        context, weights = self.attention.attend_projected(
            queries, memory.projected_key, memory.states, mask=padding(memory.mask)
        )
        return self.combine(context, queries), weights


def _attention(
    score: Literal["additive", "dot", "general", "concat"], queries: int, keys: int
) -> SingleHeadAttention:
    if score == "additive":
        return BahdanauAttention(queries, keys)
    return LuongScore(queries, keys, kind=score)
