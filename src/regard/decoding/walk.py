"""A model under way: what it remembers, one row per sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

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
        desk: where the logits of a step are written, over those of the step before: memory that is new
            at every step costs more than what is written to it.
    """

    model: EncoderDecoder | LanguageModel
    state: State
    memory: Memory | None
    desk: Tensor | None = None

    def step(self, token: Tensor) -> tuple[Tensor, Tensor, Self]:
        """Feed `token` `(rows)`.

        Returns:
            Logits of the next token `(rows, vocab)` in float32 or better, the caller's until the next
            step, weights over the source `(rows, keys)`, and where that leads.
        """
        desk = self.desk
        desk = desk[: len(token)] if desk is not None and len(desk) >= len(token) else None
        if isinstance(self.model, LanguageModel):
            step = self.model.step(token, self.state)
            weights = step.weights.new_empty(len(token), 0)
        else:
            assert self.memory is not None
            step = self.model.step(token, self.state, self.memory, desk=desk)
            weights = step.weights.float()
        logits = step.logits.float()
        return (
            logits,
            weights,
            replace(self, state=step.state, desk=logits if desk is None else self.desk),
        )

    def select(self, rows: Tensor, examples: Tensor | None = None) -> Self:
        """Keep or reorder sequences; with `examples`, keep only these rows of the memory."""
        memory = self.memory
        if memory is not None and examples is not None:
            memory = memory.select(examples)
        return replace(self, state=self.state.select(rows), memory=memory)
