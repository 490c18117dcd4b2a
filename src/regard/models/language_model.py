"""Decoder-only Transformer language model with rotary positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.exporting import is_exporting
from regard.layers import Cache, Dropout, MultiHeadAttention, RotaryPositions
from regard.layers.linear import Linear
from regard.models.building_blocks import Embedding, FeedForward, Residual
from regard.models.contracts import LanguageModel, Output, State, Step
from regard.models.settings import LmSettings, ModelSettings

__all__ = ["TransformerLanguageModel"]


@dataclass(frozen=True)
class CachedState(State):
    """State of the model: cached keys and values of each layer, `None` before the first token."""

    caches: tuple[Cache | None, ...]


class DecoderLayer(nn.Module):
    """Causal self-attention and feed-forward, pre-normalised."""

    sharded_methods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: LmSettings) -> None:
        super().__init__()
        self.attention: MultiHeadAttention = MultiHeadAttention(
            settings.width,
            settings.heads,
            key_heads=settings.key_heads,
            positions=RotaryPositions(),
            dropout=settings.attention_dropout,
        )
        self.feedforward: FeedForward = FeedForward(
            settings.width, settings.feedforward, activation="gelu", dropout=settings.dropout
        )
        self.first: Residual = Residual(settings.width, norm="pre", dropout=settings.dropout)
        self.second: Residual = Residual(settings.width, norm="pre", dropout=settings.dropout)

    def forward(self, x: Tensor, cache: Cache | None) -> tuple[Tensor, AttentionMap, Cache]:
        """Process new positions `x` `(batch, length, width)` that follow those in `cache`."""
        y, weights, cache = self.attention.step(self.first.pre(x), cache)
        x = self.first.post(x, y)
        return self.second.post(x, self.feedforward(self.second.pre(x))), weights, cache


class TransformerLanguageModel(LanguageModel):
    """Pre-normalised Transformer decoder (Radford et al. 2019) with rotary positions (Su et al. 2021)."""

    def __init__(self, settings: LmSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        self.embedding: Embedding = Embedding(settings.size, settings.width, scaled=True)
        self.dropout: Dropout = Dropout(settings.dropout)
        self.decoder: nn.ModuleList = nn.ModuleList(
            DecoderLayer(settings) for _ in range(settings.layers)
        )
        self.norm: nn.LayerNorm = nn.LayerNorm(settings.width)
        self.output: Linear = Linear(settings.width, settings.size, bias=False)
        if settings.tied:
            self.output.weight = self.embedding.weight
        else:
            nn.init.xavier_uniform_(self.output.weight)

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Run with teacher forcing; maps under `"decoder"`. Only padding can attend to padding on the right."""
        states, maps, _ = self._advance(ids, self.start(ids.shape[0]))
        return Output(self.output(states), {"decoder": maps})

    def start(self, batch: int) -> CachedState:
        """Start with empty caches."""
        return CachedState((None,) * len(self.decoder))

    def step(self, token: Tensor, state: State) -> Step:
        """Feed one token per row; everything before it is in the cache."""
        return self.prefill(token[:, None], state)

    def prefill(self, ids: Tensor, state: State) -> Step:
        """Feed several tokens per row, `(batch, new)`, at once; return the step of the last one."""
        assert isinstance(state, CachedState)
        states, maps, state = self._advance(ids, state)
        last = maps[-1].dense() if is_exporting() else maps[-1]  # indexing counts rows
        weights = last[..., -1, :].mean(1)
        return Step(self.output(states[:, -1]), state, weights)

    def _advance(
        self, ids: Tensor, state: CachedState
    ) -> tuple[Tensor, list[AttentionMap], CachedState]:
        x = self.dropout(self.embedding(ids))
        maps, caches = [], []
        for layer, before in zip(self.decoder, state.caches, strict=True):
            x, weights, cache = layer(x, before)
            maps.append(weights)
            caches.append(cache)
        return self.norm(x), maps, CachedState(tuple(caches))
