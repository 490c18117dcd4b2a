"""A model in the middle of decoding: its state and its memory of the source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from regard.cancel import check_cancelled
from regard.errors import InputError
from regard.models import EncoderDecoder, LanguageModel, Memory, State

__all__ = ["LogitsBuffer", "Stepper", "check_finite"]


@dataclass
class LogitsBuffer:
    """Buffer reused for the logits of every step. For one thread at a time.

    Logits are the largest array of a step; allocating them anew takes longer than filling them.
    """

    memory: Tensor | None = None

    def get(self, rows: int) -> Tensor | None:
        """Memory for the logits of `rows` rows, or `None` if the buffer has fewer."""
        memory = self.memory
        return None if memory is None or len(memory) < rows else memory[:rows]

    def keep(self, logits: Tensor) -> None:
        """Take over the memory of `logits` if it has more rows than the buffer."""
        if self.get(len(logits)) is None:
            self.memory = logits


@dataclass(frozen=True)
class Stepper:
    """An encoder-decoder with its memory, or a language model without one.

    Attributes:
        model: advanced by `step`.
        state: one row per sequence.
        memory: one row per example, which a fixed number of rows of the state share.
        buffer: shared by all steps.
    """

    model: EncoderDecoder | LanguageModel
    state: State
    memory: Memory | None
    buffer: LogitsBuffer = field(default_factory=LogitsBuffer)

    def step(self, token: Tensor) -> tuple[Tensor, Tensor, Self]:
        """Feed one token per sequence, `(rows)`.

        Returns:
            Logits of the next token `(rows, vocab)` in float32 or better, which may be changed and are
            valid until the next step; attention weights over the source `(rows, keys)`; the stepper
            after this step.

        Raises:
            AbandonedError: nobody waits for the answer any more.
        """
        check_cancelled()
        if isinstance(self.model, LanguageModel):
            step = self.model.step(token, self.state)
            weights = step.weights.new_empty(len(token), 0)
        else:
            assert self.memory is not None
            out = self.buffer.get(len(token))
            step = self.model.step(token, self.state, self.memory, out=out)
            weights = step.weights.float()
        logits = step.logits.float()
        self.buffer.keep(logits)
        return logits, weights, replace(self, state=step.state)

    def select(self, rows: Tensor, examples: Tensor | None = None) -> Self:
        """Keep or reorder sequences; with `examples`, keep only these rows of the memory."""
        memory = self.memory
        if memory is not None and examples is not None:
            memory = memory.select(examples)
        return replace(self, state=self.state.select(rows), memory=memory)


def check_finite(normalizer: Tensor) -> None:
    """Check the log-sum-exp of the logits of a step, `(rows)`.

    Raises:
        InputError: NaN or infinite, so that no token is better than another.
    """
    if not bool(normalizer.isfinite().all()):
        raise InputError(
            "the model's scores of the next token are NaN or infinite, so there is no answer; look for "
            "NaN or infinity in its weights, and train it again"
        )
