"""A model under way: what it remembers, one row per sequence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from regard.models import EncoderDecoder, LanguageModel, Memory, State

__all__ = ["Desk", "Walk"]


@dataclass
class Desk:
    """Where the logits of a step are written, over those of the step before.

    Memory that is new at every step costs more than what is written to it. One thread at a time.
    """

    sheet: Tensor | None = None

    def free(self, rows: int) -> Tensor | None:
        """Room for so many rows, if there is."""
        sheet = self.sheet
        return None if sheet is None or len(sheet) < rows else sheet[:rows]

    def keep(self, logits: Tensor) -> None:
        """Write over these from now on, if they are more than there was room for."""
        if self.free(len(logits)) is None:
            self.sheet = logits


@dataclass(frozen=True)
class Walk:
    """An encoder-decoder with its memory, or a language model without one.

    Attributes:
        model: what is asked.
        state: one row per sequence.
        memory: one row per example; the state has a multiple of its rows.
        desk: shared by all steps.
    """

    model: EncoderDecoder | LanguageModel
    state: State
    memory: Memory | None
    desk: Desk = field(default_factory=Desk)

    def step(self, token: Tensor) -> tuple[Tensor, Tensor, Self]:
        """Feed `token` `(rows)`.

        Returns:
            Logits of the next token `(rows, vocab)` in float32 or better, the caller's until the next
            step, weights over the source `(rows, keys)`, and where that leads.
        """
        if isinstance(self.model, LanguageModel):
            step = self.model.step(token, self.state)
            weights = step.weights.new_empty(len(token), 0)
        else:
            assert self.memory is not None
            desk = self.desk.free(len(token))
            step = self.model.step(token, self.state, self.memory, desk=desk)
            weights = step.weights.float()
        logits = step.logits.float()
        self.desk.keep(logits)
        return logits, weights, replace(self, state=step.state)

    def select(self, rows: Tensor, examples: Tensor | None = None) -> Self:
        """Keep or reorder sequences; with `examples`, keep only these rows of the memory."""
        memory = self.memory
        if memory is not None and examples is not None:
            memory = memory.select(examples)
        return replace(self, state=self.state.select(rows), memory=memory)
