"""Attention without heads, as a recurrent decoder uses it: one query per step, the keys fixed.

`SingleHeadAttention.attend` wraps `regard.attend`. `attend_step` computes the same weights and context
for the few queries of one decoder step, without the fixed cost of `attend`, which a loop over steps
would pay each time; `project_keys` projects the keys once for all steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, attend
from regard.attention.masks import Mask
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.scores import AdditiveScore, Score
from regard.layers.deferred_gradients import Matmul, PlainMatmul

__all__ = ["SingleHeadAttention", "masked_weights", "pairwise_scores"]

PLAIN_MATMUL = PlainMatmul()


class SingleHeadAttention(nn.Module, ABC):
    """A learned score between queries and keys of any widths, and a normaliser.

    Args:
        normalizer: scores to weights.
    """

    def __init__(self, normalizer: Normalizer | None = None) -> None:
        super().__init__()
        self.normalizer = normalizer or Softmax()

    @abstractmethod
    def project_keys(self, key: Tensor) -> Tensor:
        """What depends on the keys alone: `(batch, keys, key_width)` to `(batch, keys, dim)`."""

    @abstractmethod
    def project_query(self, query: Tensor, matmul: Matmul = PLAIN_MATMUL) -> Tensor:
        """What depends on the queries alone: `(batch, queries, query_width)` to `(..., dim)`."""

    @abstractmethod
    def score(self) -> Score:
        """The score of what `project_query` and `project_keys` return."""

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Any = None,
    ) -> tuple[Tensor, AttentionMap]:
        """The context of each query, by `regard.attend`.

        Args:
            query: `(batch, queries, query_width)`.
            key: `(batch, keys, key_width)`.
            value: `(batch, keys, value_width)`; the keys unless given.
            mask: where each query may look, broadcasts to `(batch, queries, keys)`.
            bias: added to the scores.

        Returns:
            `(batch, queries, value_width)` and the map `(batch, queries, keys)`.
        """
        value = key if value is None else value
        return self.attend_projected(query, self.project_keys(key), value, mask=mask, bias=bias)

    def attend_projected(
        self,
        query: Tensor,
        projected_key: Tensor,
        value: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Any = None,
    ) -> tuple[Tensor, AttentionMap]:
        """As `attend`, with keys that `project_keys` has projected."""
        return attend(
            self.project_query(query),
            projected_key,
            value,
            score=self.score(),
            normalizer=self.normalizer,
            mask=mask,
            bias=bias,
        )

    def attend_step(
        self,
        query: Tensor,
        projected_key: Tensor,
        value: Tensor,
        mask: Tensor,
        matmul: Matmul = PLAIN_MATMUL,
    ) -> tuple[Tensor, Tensor]:
        """The context of a few queries, as one step of a decoder needs it.

        Args:
            query: `(batch, queries, query_width)`.
            projected_key: `(batch, keys, dim)`, from `project_keys`.
            value: `(batch, keys, value_width)`, finite where nobody may look, too (an encoder's
                padding is zero): to ask would take as long as the step.
            mask: `(batch, keys)` Boolean, `True` where they may look.
            matmul: `DeferredMatmul` in a loop that is trained.

        Returns:
            `(batch, queries, value_width)` and weights `(batch, queries, keys)`.
        """
        scores = pairwise_scores(self.score(), self.project_query(query, matmul), projected_key)
        weights = masked_weights(scores, mask, self.normalizer)
        return matmul.bmm(weights, value), weights


def pairwise_scores(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """`score.pair` for a few queries, in one piece: `(batch, queries, keys)`."""
    if isinstance(score, AdditiveScore):
        scores: Tensor = torch.tanh(query[:, :, None] + key[:, None]) @ score.vector
    else:
        scores = score.pairwise(query[:, None], key[:, None])[:, 0]
    return scores


def masked_weights(scores: Tensor, mask: Tensor, normalizer: Normalizer) -> Tensor:
    """Weights `(batch, queries, keys)` in float32 or better, zero where `mask` `(batch, keys)` is false."""
    scores = scores.masked_fill(~mask[:, None], -torch.inf)
    weights: Tensor = normalizer(scores if scores.dtype == torch.float64 else scores.float())
    return weights
