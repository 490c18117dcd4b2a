"""Transformer encoder-decoder (Vaswani et al. 2017), with pre- or post-normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, padding
from regard.attention.exporting import is_exporting
from regard.attention.kernels import limits
from regard.attention.masks import Mask
from regard.layers import (
    ALiBiPositions,
    Cache,
    LearnedPositions,
    Positions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)
from regard.layers.cache import DeferredCaches
from regard.layers.dropout import Dropout
from regard.layers.linear import Linear
from regard.models.building_blocks import Embedding, all_real, padding_mask
from regard.models.contracts import EncoderDecoder, Memory, Output, State, Step
from regard.models.settings import ModelSettings, TransformerSettings
from regard.models.transformer_layers import DecoderLayer, EncoderLayer
from regard.models.transformer_steps import CompiledDecoder, CompiledState

__all__ = ["Transformer"]


@dataclass(frozen=True)
class TransformerMemory(Memory):
    """Encoded source: keys and values of each decoder layer's cross-attention, projected once."""

    caches: DeferredCaches


@dataclass(frozen=True)
class TransformerState(State):
    """State of the decoder.

    Attributes:
        caches: keys and values of each layer's self-attention; `None` before the first token.
        position: of the next token.
    """

    caches: tuple[Cache | None, ...]
    position: int


class Transformer(EncoderDecoder):
    """Encoder and decoder layers of attention between embeddings and a softmax.

    `places` holds positions that are added to embeddings; its name is a key of saved weights.
    """

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        width = settings.width
        self.target: Embedding = Embedding(settings.target_size, width, scaled=True)
        self.source: nn.Embedding = (
            self.target if settings.joint else Embedding(settings.source_size, width, scaled=True)
        )
        self.places: nn.Module | None = _added_positions(settings)
        learned = settings.positions == "learned"
        self.max_positions: int | None = settings.max_length if learned else None
        self.dropout: Dropout = Dropout(settings.dropout)
        self.encoder: nn.ModuleList = nn.ModuleList(
            EncoderLayer(settings, _attention_positions(settings, bidirectional=True))
            for _ in range(settings.encoder_layers)
        )
        self.decoder: nn.ModuleList = nn.ModuleList(
            DecoderLayer(settings, _attention_positions(settings, bidirectional=False))
            for _ in range(settings.decoder_layers)
        )
        last = settings.norm == "pre"  # post-normalised layers end in a norm already
        self.encoder_norm: nn.LayerNorm | nn.Identity = (
            nn.LayerNorm(width) if last else nn.Identity()
        )
        self.decoder_norm: nn.LayerNorm | nn.Identity = (
            nn.LayerNorm(width) if last else nn.Identity()
        )
        self.output: Linear = Linear(width, settings.target_size, bias=False)
        if settings.tied:
            self.output.weight = self.target.weight
        else:
            nn.init.xavier_uniform_(self.output.weight)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        """Run with teacher forcing; maps under `"encoder"`, `"decoder"` and `"cross"`."""
        memory, encoder = self._encode(source, source_lengths)
        mask = None if all_real(memory.mask) else padding(memory.mask)
        states, own, cross, _ = self._decode(target, self._empty_state(), memory, mask)
        logits = self.output(states)
        return Output(logits, {"encoder": encoder, "decoder": own, "cross": cross})

    def encode(self, source: Tensor, source_lengths: Tensor) -> TransformerMemory:
        """Encode the source and project it for every decoder layer."""
        return self._encode(source, source_lengths)[0]

    def start(self, memory: Memory) -> TransformerState | CompiledState:
        """Start with empty caches; for many examples on a processor, those of compiled steps."""
        if not is_exporting() and memory.batch >= limits.DECODE_MIN_EXAMPLES:
            compiled = CompiledDecoder.of(self)
            if compiled is not None:
                return compiled.start(memory.batch)
        return self._empty_state()

    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        """Feed one token per row; everything before it is in the cache."""
        assert isinstance(memory, TransformerMemory)
        if isinstance(state, CompiledState):
            return state.step(token, memory.mask, memory.caches, out)
        assert isinstance(state, TransformerState)
        mask = memory.mask[:, None, None]
        states, _, cross, state = self._decode(token[:, None], state, memory, mask)
        weights = self._alignment_weights(cross).reshape(token.shape[0], -1)
        return Step(self.output.into(states[:, 0], out), state, weights)

    @property
    def cross_attention_shape(self) -> tuple[int, int]:
        """Decoder layers, and heads of each."""
        heads = {layer.cross.heads for layer in self._decoder_layers()}
        return len(self.decoder), min(heads)

    def _alignment_weights(self, cross: Sequence[AttentionMap]) -> Tensor:
        """Cross-attention of the layer and head in `alignment`, or means over them."""
        layer, head = self.alignment.layer, self.alignment.head
        by_layer = [
            weights.dense().mean(1) if head is None else weights.dense()[:, head - 1]
            for weights in (cross if layer is None else [cross[layer - 1]])
        ]
        return by_layer[0] if len(by_layer) == 1 else torch.stack(by_layer).mean(0)

    def _encode(
        self, source: Tensor, lengths: Tensor
    ) -> tuple[TransformerMemory, list[AttentionMap]]:
        real = padding_mask(lengths, source.shape[1])
        mask = None if all_real(real) else padding(lengths)
        x = self._embed(self.source, source, first=0)
        maps = []
        for layer in self.encoder:
            x, weights = layer(x, mask)
            maps.append(weights)
        x = self.encoder_norm(x)
        caches = [layer.project_memory(x) for layer in self._decoder_layers()]
        return TransformerMemory(real, DeferredCaches(caches)), maps

    def _empty_state(self) -> TransformerState:
        return TransformerState((None,) * len(self.decoder), 0)

    def _decode(
        self,
        target: Tensor,
        state: TransformerState,
        memory: TransformerMemory,
        mask: Mask | Tensor | None,
    ) -> tuple[Tensor, list[AttentionMap], list[AttentionMap], TransformerState]:
        x = self._embed(self.target, target, first=state.position)
        own, cross, caches = [], [], []
        for layer, memory_cache, cache in zip(
            self.decoder, memory.caches, state.caches, strict=True
        ):
            x, inner, outer, cache = layer(x, memory_cache, mask, cache=cache)
            own.append(inner)
            cross.append(outer)
            caches.append(cache)
        state = TransformerState(tuple(caches), state.position + target.shape[1])
        return self.decoder_norm(x), own, cross, state

    def _decoder_layers(self) -> Iterator[DecoderLayer]:
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            yield layer

    def _embed(self, embedding: nn.Module, ids: Tensor, *, first: int) -> Tensor:
        x = embedding(ids)
        if self.places is not None:
            x = x + self.places(ids.shape[1], first=first)
        embedded: Tensor = self.dropout(x)
        return embedded


def _added_positions(settings: TransformerSettings) -> nn.Module | None:
    """Make the position vectors that are added to embeddings, if the settings name such."""
    if settings.positions == "sinusoidal":
        return SinusoidalPositions(settings.width)
    if settings.positions == "learned":
        return LearnedPositions(settings.max_length, settings.width)
    return None


def _attention_positions(settings: TransformerSettings, *, bidirectional: bool) -> Positions:
    """Make the positions that act inside self-attention."""
    if settings.positions == "rotary":
        return RotaryPositions()
    if settings.positions == "alibi":
        return ALiBiPositions()
    if settings.positions == "relative":
        return RelativePositions(settings.heads, bidirectional=bidirectional)
    return Positions()
