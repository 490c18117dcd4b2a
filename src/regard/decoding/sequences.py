"""Unfinished sequences of a batch: their tokens, log-probabilities and attention so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from regard.decoding.hypothesis import Hypothesis, OnDraft, length_penalty
from regard.models import Batched, Reading
from regard.text import BOS

__all__ = ["Finished", "Sequences"]


@dataclass(frozen=True)
class Sequences(Batched):
    """Partial hypotheses, one in each row.

    Attributes:
        example: `(rows)`, index of the example a row belongs to.
        prompt: `(rows)`, number of first tokens that belong to no answer. They are neither scored nor
            counted, however many of them were fed before the search began.
        ids: `(rows, steps)`, tokens after BOS.
        log_probs: `(rows, steps)` in float64, so that sums of long sequences lose nothing; 0 in the
            prompt.
        attention: `(rows, steps, keys)`, `keys` = 0 for a model without a source.
    """

    example: Tensor
    prompt: Tensor
    ids: Tensor
    log_probs: Tensor
    attention: Tensor

    @classmethod
    def empty(cls, example: Tensor, keys: int, *, prompt: Tensor | None = None) -> Self:
        """Sequences of no tokens, one for each entry of `example`; `prompt` is 0 unless given."""
        rows, device = len(example), example.device
        return cls(
            example,
            torch.zeros_like(example) if prompt is None else prompt,
            torch.empty(rows, 0, dtype=torch.int64, device=device),
            torch.empty(rows, 0, dtype=torch.float64, device=device),
            torch.empty(rows, 0, keys, device=device),
        )

    def with_prefix(self, ids: Tensor) -> Self:
        """Begin empty sequences with tokens of the prompt, `(rows, steps)`."""
        steps = ids.shape[1]
        return replace(
            self,
            ids=ids,
            log_probs=self.log_probs.new_zeros(len(ids), steps),
            attention=self.attention.new_zeros(len(ids), steps, self.attention.shape[2]),
        )

    @property
    def latest(self) -> Tensor:
        """The next input of the decoder, `(rows)`; BOS at the beginning."""
        return self.ids[:, -1] if self.ids.shape[1] else torch.full_like(self.example, BOS)

    @property
    def in_prompt(self) -> Tensor:
        """`(rows)` Boolean: whether the next token still belongs to the prompt."""
        return self.ids.shape[1] < self.prompt

    def extend(self, token: Tensor, log_prob: Tensor, weights: Tensor) -> Self:
        """Append one step: `token` and `log_prob` `(rows)`, `weights` `(rows, keys)`."""
        log_prob = log_prob.double().masked_fill(self.in_prompt, 0.0)
        return replace(
            self,
            ids=torch.cat([self.ids, token[:, None]], 1),
            log_probs=torch.cat([self.log_probs, log_prob[:, None]], 1),
            attention=torch.cat([self.attention, weights[:, None]], 1),
        )

    def report(self, on_draft: OnDraft) -> None:
        """Call back with the first row of each example, which is its best."""
        previous = None
        for example, ids in zip(self.example.tolist(), self.ids.tolist(), strict=True):
            if example != previous:
                on_draft(example, ids)
            previous = example

    def hypotheses(
        self, lengths: Tensor, alpha: float, reading: Reading
    ) -> list[tuple[int, Hypothesis]]:
        """Convert rows that end in EOS into pairs of example and hypothesis, without the prompt.

        Args:
            lengths: `(examples)`, source lengths, to cut the padding off the attention.
            alpha: exponent of the length penalty, which counts what is scored: the answer and its EOS.
            reading: passed on to the hypotheses.
        """
        found = []
        columns = zip(
            self.example.tolist(),
            self.prompt.tolist(),
            lengths[self.example].tolist(),
            self.ids.tolist(),
            self.log_probs.tolist(),
            self.attention.cpu().numpy(),
            strict=True,
        )
        for example, prompt, length, ids, log_probs, weights in columns:
            own = log_probs[prompt:]
            score = math.fsum(own) / length_penalty(len(own), alpha)
            hypothesis = Hypothesis(ids[prompt:-1], score, own, weights[prompt:, :length], reading)
            found.append((example, hypothesis))
        return found


@dataclass(frozen=True)
class Finished:
    """Sequences that ended in EOS, in the order in which they did.

    Attributes:
        complete: those that keep all constraints.
        cut_short: those that could neither go on nor end: a dead end of the constraints, such as blocked
            n-grams that leave no token before `min_length`. They ended there, and count only for an
            example that has nothing else.
    """

    complete: list[Sequences] = field(default_factory=list)
    cut_short: list[Sequences] = field(default_factory=list)
