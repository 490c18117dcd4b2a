"""One attention, without heads, that a recurrent decoder asks at every step.

`remember` projects the keys once; `look` asks a few queries and makes the whole, small matrix of weights,
with none of the bookkeeping of `attend`, which a loop over steps would pay each time. `forward` goes
through `attend` and answers the same.
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
from regard.layers.deferred_gradients import Plain, Products

__all__ = ["SingleAttention", "projected_scores", "weigh"]

PLAIN = Plain()


class SingleAttention(nn.Module, ABC):
    """A learned score between queries and keys of any widths, and a normaliser.

    Args:
        normalizer: scores to weights.
    """

    def __init__(self, normalizer: Normalizer | None = None) -> None:
        super().__init__()
        self.normalizer = normalizer or Softmax()

    @abstractmethod
    def remember(self, key: Tensor) -> Tensor:
        """What depends on the keys alone: `(batch, keys, key_width)` to `(batch, keys, dim)`."""

    @abstractmethod
    def ask(self, query: Tensor, products: Products = PLAIN) -> Tensor:
        """What depends on the queries alone: `(batch, queries, query_width)` to `(..., dim)`."""

    @abstractmethod
    def score(self) -> Score:
        """The score of what `ask` and `remember` return."""

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
        return self.recall(query, self.remember(key), value, mask=mask, bias=bias)

    def recall(
        self,
        query: Tensor,
        remembered: Tensor,
        value: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Any = None,
    ) -> tuple[Tensor, AttentionMap]:
        """As `attend`, with keys that `remember` has projected."""
        return attend(
            self.ask(query),
            remembered,
            value,
            score=self.score(),
            normalizer=self.normalizer,
            mask=mask,
            bias=bias,
        )

    def look(
        self,
        query: Tensor,
        remembered: Tensor,
        value: Tensor,
        mask: Tensor,
        products: Products = PLAIN,
    ) -> tuple[Tensor, Tensor]:
        """The context of a few queries, as one step of a decoder needs it.

        Args:
            query: `(batch, queries, query_width)`.
            remembered: `(batch, keys, dim)`, from `remember`.
            value: `(batch, keys, value_width)`, finite where nobody may look, too (an encoder's
                padding is zero): to ask would take as long as the step.
            mask: `(batch, keys)` Boolean, `True` where they may look.
            products: `Late` in a loop that is trained.

        Returns:
            `(batch, queries, value_width)` and weights `(batch, queries, keys)`.
        """
        scores = projected_scores(self.score(), self.ask(query, products), remembered)
        weights = weigh(scores, mask, self.normalizer)
        return products.mix(weights, value), weights


def projected_scores(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """`score.pair` for a few queries, in one piece: `(batch, queries, keys)`."""
    if isinstance(score, AdditiveScore):
        scores: Tensor = torch.tanh(query[:, :, None] + key[:, None]) @ score.vector
    else:
        scores = score.pair(query[:, None], key[:, None])[:, 0]
    return scores


def weigh(scores: Tensor, mask: Tensor, normalizer: Normalizer) -> Tensor:
    """Weights `(batch, queries, keys)` in float32 or better, zero where `mask` `(batch, keys)` is false."""
    scores = scores.masked_fill(~mask[:, None], -torch.inf)
    weights: Tensor = normalizer(scores if scores.dtype == torch.float64 else scores.float())
    return weights
