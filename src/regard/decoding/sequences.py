"""Unfinished sequences of a batch: their tokens, log-probabilities and attention so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from regard.decoding.hypothesis import Hypothesis, OnDraft
from regard.models import Batched, Reading
from regard.text import BOS

__all__ = ["Sequences"]


@dataclass(frozen=True)
class Sequences(Batched):
    """Partial hypotheses, one in each row.

    Attributes:
        example: `(rows)`, index of the example a row belongs to.
        ids: `(rows, steps)`, tokens after BOS.
        log_probs: `(rows, steps)`.
        attention: `(rows, steps, keys)`, `keys` = 0 for a model without a source.
    """

    example: Tensor
    ids: Tensor
    log_probs: Tensor
    attention: Tensor

    @classmethod
    def empty(cls, example: Tensor, keys: int) -> Self:
        """Sequences of no tokens, one for each entry of `example`."""
        rows, device = len(example), example.device
        return cls(
            example,
            torch.empty(rows, 0, dtype=torch.int64, device=device),
            torch.empty(rows, 0, device=device),
            torch.empty(rows, 0, keys, device=device),
        )

    def with_prefix(self, ids: Tensor) -> Self:
        """Begin empty sequences with given tokens `(rows, steps)`, of log-probability 0."""
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

    def extend(self, token: Tensor, log_prob: Tensor, weights: Tensor) -> Self:
        """Append one step: `token` and `log_prob` `(rows)`, `weights` `(rows, keys)`."""
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

    def finish(
        self, scores: Tensor, lengths: Tensor, reading: Reading
    ) -> list[tuple[int, Hypothesis]]:
        """Convert rows that end in EOS into pairs of example and hypothesis.

        Args:
            scores: `(rows)`.
            lengths: `(examples)`, source lengths, to cut the padding off the attention.
            reading: passed on to the hypotheses.
        """
        attention = self.attention.cpu().numpy()
        columns = zip(
            self.example.tolist(),
            lengths[self.example].tolist(),
            self.ids.tolist(),
            self.log_probs.tolist(),
            scores.tolist(),
            attention,
            strict=True,
        )
        return [
            (example, Hypothesis(ids[:-1], score, log_probs, weights[:, :length], reading))
            for example, length, ids, log_probs, score, weights in columns
        ]
