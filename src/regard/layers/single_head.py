"""Attention with one head and a learned score, as recurrent decoders use it.

`SingleHeadAttention` wraps `regard.attend`. `attend_step` computes the same weights and context
for the few queries of one decoder step, by the functions below, without the fixed cost of `attend`, which
a loop over steps would pay each time. `project_keys` projects the keys once for all steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, attend
from regard.attention.masks import Mask
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.scores import Score, additive_vector
from regard.layers.checks import check_sequence
from regard.layers.deferred_gradients import Matmul, PlainMatmul
from regard.layers.learned_parts import register_parameters

__all__ = ["PLAIN_MATMUL", "SingleHeadAttention", "masked_weights", "pairwise_scores"]

PLAIN_MATMUL = PlainMatmul()


def pairwise_scores(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """The scores of a few queries and all keys, at once.

    Args:
        score: of the attention.
        query: projected, `(batch, queries, dim)`.
        key: projected, `(batch, keys, dim)`.

    Returns:
        `(batch, queries, keys)`.
    """
    vector = additive_vector(score)
    if vector is not None:
        # Without heads and chunks, which cost more than the products of one step.
        scores: Tensor = torch.tanh(query[:, :, None] + key[:, None]) @ vector
    else:
        scores = score.pairwise(query[:, None], key[:, None])[:, 0]
    return scores


def masked_weights(scores: Tensor, mask: Tensor, normalizer: Normalizer) -> Tensor:
    """Attention weights in float32 or float64, 0 for masked keys.

    Args:
        scores: `(batch, queries, keys)`.
        mask: `(batch, keys)` Boolean, `True` = may attend.
        normalizer: from scores to weights.
    """
    scores = scores.masked_fill(~mask[:, None], -torch.inf)
    weights: Tensor = normalizer(scores if scores.dtype == torch.float64 else scores.float())
    return weights


class SingleHeadAttention(nn.Module, ABC):
    """Base of attentions with a learned score between queries and keys of any widths.

    Args:
        query_width: features of the queries.
        key_width: features of the keys.
        normalizer: from scores to weights; softmax unless given.
    """

    def __init__(
        self, query_width: int, key_width: int, normalizer: Normalizer | None = None
    ) -> None:
        super().__init__()
        self.query_width: int = query_width
        self.key_width: int = key_width
        self.normalizer: Normalizer | Softmax = normalizer or Softmax()
        register_parameters(self, "normalizer", self.normalizer)

    @abstractmethod
    def project_keys(self, key: Tensor) -> Tensor:
        """Keys `(batch, keys, key_width)` projected for the score, to `(batch, keys, dim)`."""

    @abstractmethod
    def project_query(self, query: Tensor, matmul: Matmul = PLAIN_MATMUL) -> Tensor:
        """Queries `(batch, queries, query_width)` projected for the score, to `(..., dim)`."""

    @abstractmethod
    def score(self) -> Score:
        """The score of projected queries and keys."""

    def forward(
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
            value: `(batch, keys, value_width)`; the keys unless given, as in the papers.
            mask: the keys each query may attend to; broadcasts to `(batch, queries, keys)`.
            bias: added to the scores; broadcasts to `(batch, queries, keys)`.

        Returns:
            `(batch, queries, value_width)` and the map `(batch, queries, keys)`.

        Raises:
            ShapeError: another number of axes or features, batches or lengths that do not fit.
            MaskError: a mask of the wrong type or shape.
            InputError: tensors of another type than the parameters.
        """
        parameter = next(self.parameters(), None)
        check_sequence("query", query, self.query_width, parameter)
        check_sequence("key", key, self.key_width, parameter)
        value = key if value is None else value
        check_sequence("value", value, value.shape[-1], parameter)
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
        """The context of each query, by `regard.attend`, for keys from `project_keys`.

        Args:
            query: `(batch, queries, query_width)`.
            projected_key: `(batch, keys, dim)`.
            value: `(batch, keys, value_width)`.
            mask: the keys each query may attend to; broadcasts to `(batch, queries, keys)`.
            bias: added to the scores.

        Returns:
            `(batch, queries, value_width)` and the map `(batch, queries, keys)`.
        """
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
        """The context and weights of the few queries of one decoder step.

        Args:
            query: `(batch, queries, query_width)`.
            projected_key: `(batch, keys, dim)`, from `project_keys`.
            value: `(batch, keys, value_width)`, finite at masked positions, too (an encoder's padding
                is zero): checking would take as long as the step.
            mask: `(batch, keys)` Boolean, `True` = may attend.
            matmul: `DeferredMatmul` in a loop that is trained.

        Returns:
            `(batch, queries, value_width)` and weights `(batch, queries, keys)`.
        """
        scores = pairwise_scores(self.score(), self.project_query(query, matmul), projected_key)
        weights = masked_weights(scores, mask, self.normalizer)
        return matmul.bmm(weights, value), weights
