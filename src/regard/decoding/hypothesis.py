"""A decoded sequence with its cross-attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, overload

import numpy as np
from jaxtyping import Float
from torch import Tensor

from regard.models import Reading, check_reading

__all__ = ["Hypothesis", "OnDraft", "Reading", "length_penalty"]

OnDraft: TypeAlias = Callable[[int, list[int]], object]
"""Called after every step with the index of an example and the ids of its best unfinished sequence."""


@dataclass(frozen=True)
class Hypothesis:
    """One finished sequence.

    Attributes:
        ids: tokens, without BOS and EOS.
        score: rank: the sum of `log_probs` divided by the length penalty, in nats.
        log_probs: log-probability of each token and of EOS under the model, in nats, `len(ids) + 1`.
        attention: `(len(ids) + 1, source length)`. Row `t` is the step whose input was token `t - 1`
            (BOS at 0) and whose output was token `t` (EOS at the end), followed back along the beam's
            ancestry.
        reading: step at which `alignment` is read.
    """

    ids: list[int]
    score: float
    log_probs: list[float]
    attention: Float[np.ndarray, "steps source"]
    reading: Reading = "output"

    @property
    def alignment(self) -> Float[np.ndarray, "target source"]:
        """Cross-attention of each token, at the step that `reading` names."""
        return self.attention[1:] if self.reading == "input" else self.attention[:-1]

    def aligned_at(self, reading: Reading) -> Hypothesis:
        """A copy whose `alignment` is read at the step where each token is the output, or the input.

        Raises:
            InputError: another reading.
        """
        return replace(self, reading=check_reading(reading))


@overload
def length_penalty(length: float, alpha: float) -> float: ...
@overload
def length_penalty(length: Tensor, alpha: float) -> Tensor: ...
def length_penalty(length: Any, alpha: float) -> Any:
    r"""Divisor of a summed log-probability (Wu et al. 2016, equation 14).

    .. math:: \left(\frac{5 + |y|}{6}\right)^\alpha

    Args:
        length: tokens, EOS included: a number, or a tensor of them.
        alpha: 0 leaves the sum unchanged; larger values favour longer sequences.
    """
    return ((5 + length) / 6) ** alpha
