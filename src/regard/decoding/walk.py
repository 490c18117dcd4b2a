"""A model under way: what it remembers, one row per sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from regard.models import EncoderDecoder, LanguageModel, Memory, State

__all__ = ["Walk"]


@dataclass(frozen=True)
class Walk:
    """An encoder-decoder with its memory, or a language model without one.

    Attributes:
        model: what is asked.
        state: one row per sequence.
        memory: one row per example; the state has a multiple of its rows.
    """

    model: EncoderDecoder | LanguageModel
    state: State
    memory: Memory | None

    def step(self, token: Tensor) -> tuple[Tensor, Tensor, Self]:
        """Feed `token` `(rows)`.

        Returns:
            Log-probabilities of the next token `(rows, vocab)` in float32, weights over the source
            `(rows, keys)`, and where that leads.
        """
        if isinstance(self.model, LanguageModel):
            step = self.model.step(token, self.state)
            weights = step.weights.new_empty(len(token), 0)
        else:
            assert self.memory is not None
            step = self.model.step(token, self.state, self.memory)
            weights = step.weights.float()
        log_probs = torch.log_softmax(step.logits.float(), -1)
        return log_probs, weights, replace(self, state=step.state)

    def select(self, rows: Tensor, examples: Tensor | None = None) -> Self:
        """Keep or reorder sequences; with `examples`, keep only these rows of the memory."""
        memory = self.memory
        if memory is not None and examples is not None:
            memory = memory.select(examples)
        return replace(self, state=self.state.select(rows), memory=memory)
