"""A decoded sequence, with what it looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from regard.models import Reading, Rows
from regard.text import BOS

__all__ = ["Hypothesis", "Listener", "Reading", "Trail", "length_penalty"]

Listener: TypeAlias = Callable[[int, list[int]], None]
"""Told, after every step, an example and the tokens of its best unfinished sequence so far."""


@dataclass(frozen=True)
class Hypothesis:
    """One way to finish a sequence.

    Attributes:
        ids: its tokens, without BOS and EOS.
        score: what ranked it: the summed log-probability over the length penalty, in nats.
        log_probs: of each token and of EOS, under the model itself, in nats: `len(ids) + 1` of them.
        attention: `(len(ids) + 1, source length)`, row `t` the step that read token `t - 1` (BOS
            at 0) and predicted token `t` (EOS at the end), along the beam's own ancestry.
        reading: the step at which attention is read as alignment.
    """

    ids: list[int]
    score: float
    log_probs: list[float]
    attention: Float[np.ndarray, "steps source"]
    reading: Reading = "input"

    @property
    def alignment(self) -> Float[np.ndarray, "target source"]:
        """Cross-attention of each token, at the step that `reading` names."""
        return self.attention[1:] if self.reading == "input" else self.attention[:-1]

    def aligned_at(self, reading: Reading) -> Hypothesis:
        """A copy whose `alignment` is read at the step where each token is the input, or the output."""
        return replace(self, reading=reading)

    def after(self, given: int, alpha: float) -> Hypothesis:
        """The same hypothesis without its first `given` tokens, scored by the others alone."""
        logs = self.log_probs[given:]
        score = sum(logs) / length_penalty(len(logs), alpha)
        return replace(
            self,
            ids=self.ids[given:],
            score=score,
            log_probs=logs,
            attention=self.attention[given:],
        )


def length_penalty(length: int, alpha: float) -> float:
    r"""What a summed log-probability is divided by (Wu et al. 2016, equation 14).

    .. math:: \left(\frac{5 + |y|}{6}\right)^\alpha

    Args:
        length: tokens, EOS included.
        alpha: 0 leaves the sum as it is; larger favours longer sequences.
    """
    penalty: float = ((5 + length) / 6) ** alpha
    return penalty


@dataclass(frozen=True)
class Trail(Rows):
    """What unfinished sequences have behind them, one row each.

    Attributes:
        example: `(rows)`, which example a row belongs to.
        ids: `(rows, steps)`.
        log_probs: `(rows, steps)`.
        attention: `(rows, steps, keys)`, `keys` = 0 for a model without a source.
    """

    example: Tensor
    ids: Tensor
    log_probs: Tensor
    attention: Tensor

    @classmethod
    def empty(cls, example: Tensor, keys: int) -> Self:
        """Nothing behind, one row per entry of `example`."""
        rows, device = len(example), example.device
        return cls(
            example,
            torch.empty(rows, 0, dtype=torch.int64, device=device),
            torch.empty(rows, 0, device=device),
            torch.empty(rows, 0, keys, device=device),
        )

    def begun(self, ids: Tensor) -> Self:
        """The empty trail with a beginning `(rows, steps)` that was given, not decoded."""
        steps = ids.shape[1]
        return replace(
            self,
            ids=ids,
            log_probs=self.log_probs.new_zeros(len(ids), steps),
            attention=self.attention.new_zeros(len(ids), steps, self.attention.shape[2]),
        )

    @property
    def latest(self) -> Tensor:
        """The token to feed next, `(rows)`; BOS at the beginning."""
        return self.ids[:, -1] if self.ids.shape[1] else torch.full_like(self.example, BOS)

    def extend(self, token: Tensor, log_prob: Tensor, weights: Tensor) -> Self:
        """One token further: `token` and `log_prob` `(rows)`, `weights` `(rows, keys)`."""
        return replace(
            self,
            ids=torch.cat([self.ids, token[:, None]], 1),
            log_probs=torch.cat([self.log_probs, log_prob[:, None]], 1),
            attention=torch.cat([self.attention, weights[:, None]], 1),
        )

    def tell(self, listener: Listener) -> None:
        """Tell each example's first row, which is its best."""
        before = None
        for example, ids in zip(self.example.tolist(), self.ids.tolist(), strict=True):
            if example != before:
                listener(example, ids)
            before = example

    def finish(
        self, scores: Tensor, lengths: Tensor, reading: Reading
    ) -> list[tuple[int, Hypothesis]]:
        """Each row, whose last token is EOS, as `(example, hypothesis)`.

        Args:
            scores: `(rows)`.
            lengths: source length of every example, to drop the padding.
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
            (example, Hypothesis(ids[:-1], score, logs, looked[:, :length], reading))
            for example, length, ids, logs, score, looked in columns
        ]
