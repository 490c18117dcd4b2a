"""Pointer attention: a distribution over the words of the source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention.masks import Mask
from regard.attention.normalizers import Softmax
from regard.attention.positions import as_bias
from regard.errors import ShapeError
from regard.layers.checks import check_sequence, key_mask, layout_of
from regard.layers.single_head import masked_weights

__all__ = ["PointerAttention", "copy_distribution"]


class PointerAttention(nn.Module):
    r"""Additive attention with coverage, one step at a time (See, Liu and Manning 2017).

    .. math:: e_{ti} = v^\top \tanh(W_h h_i + W_s s_t + w_c c_{ti} + b), \quad
              c_t = \sum_{t' < t} a_{t'}, \quad
              \mathrm{penalty}_t = \sum_i \min(a_{ti}, c_{ti})

    The coverage :math:`c_t` sums up the attention of the steps before. Without it this is the attention
    of pointer networks (Vinyals et al. 2015).

    Args:
        query_width: features of the decoder states `s`.
        key_width: features of the encoder states `h`.
        hidden: features of the sum inside `tanh`; as many as the query's unless given.
        coverage: whether the score depends on the coverage.
    """

    def __init__(
        self,
        query_width: int,
        key_width: int,
        *,
        hidden: int | None = None,
        coverage: bool = True,
    ) -> None:
        super().__init__()
        hidden = hidden or query_width
        self.query: nn.Linear = nn.Linear(query_width, hidden)
        self.key: nn.Linear = nn.Linear(key_width, hidden, bias=False)
        self.vector: nn.Parameter = nn.Parameter(torch.empty(hidden))
        self.covered: nn.Parameter | None = nn.Parameter(torch.zeros(hidden)) if coverage else None
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.uniform_(self.vector, -(hidden**-0.5), hidden**-0.5)

    def project_keys(self, key: Tensor) -> Tensor:
        """`W_h h`, `(batch, keys, hidden)`, once for all steps."""
        check_sequence("key", key, self.key.in_features, self.vector)
        projected: Tensor = self.key(key)
        return projected

    def forward(
        self,
        query: Tensor,
        projected_key: Tensor,
        value: Tensor,
        *,
        coverage: Tensor,
        mask: Mask | Tensor | None = None,
        bias: Any = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step.

        Args:
            query: `(batch, queries, query_width)`, hypotheses of one step (a beam), not a sequence.
            projected_key: `(batch, keys, hidden)`, from `project_keys`.
            value: `(batch, keys, value_width)`.
            coverage: `(batch, queries, keys)`, the sum of the weights of all steps before; zeros at the
                first step.
            mask: `(batch, keys)` Boolean, `True` = may attend, or a mask such as
                `regard.padding(lengths)`.
            bias: added to the scores; broadcasts to `(batch, queries, keys)`.

        Returns:
            The context `(batch, queries, value_width)`, the weights `(batch, queries, keys)`, which are
            the copy distribution, and the coverage with them added.

        Raises:
            ShapeError: another number of axes or features, or sizes that do not fit.
            MaskError: a mask of another type or shape.
        """
        batch, queries, keys = self._check_sizes(query, projected_key, value, coverage)
        allowed = key_mask(mask, batch, keys, projected_key)
        projected = self.query(query)
        inner = projected[:, :, None] + projected_key[:, None]
        if self.covered is not None:
            inner = inner + coverage[..., None].to(projected.dtype) * self.covered
        inner = torch.tanh(inner)
        scores = inner @ self.vector
        if bias is not None:
            layout = replace(layout_of(batch, 1, queries, keys, scores), rank=3)
            bias = as_bias(bias)
            bias.check(layout)
            scores = scores + bias.tile(layout, slice(0, queries), slice(0, keys))[:, 0]
        weights = masked_weights(scores, allowed, Softmax())
        return weights.to(value.dtype) @ value, weights, coverage + weights

    def _check_sizes(
        self, query: Tensor, projected_key: Tensor, value: Tensor, coverage: Tensor
    ) -> tuple[int, int, int]:
        """The batch, queries and keys of one step.

        Raises:
            ShapeError: another number of axes or features, or sizes that do not fit.
        """
        check_sequence("query", query, self.query.in_features, self.vector)
        check_sequence("projected_key", projected_key, len(self.vector), self.vector)
        check_sequence("value", value, value.shape[-1], value)
        batch, queries, keys = query.shape[0], query.shape[1], projected_key.shape[1]
        for name, found, expected in (
            ("projected_key", projected_key.shape[:2], (batch, keys)),
            ("value", value.shape[:2], (batch, keys)),
            ("coverage", coverage.shape, (batch, queries, keys)),
        ):
            if tuple(found) != expected:
                raise ShapeError(
                    f"{name} begins with the sizes {tuple(found)}; expected {expected}, from the query "
                    "and the keys"
                )
        return batch, queries, keys


def copy_distribution(weights: Tensor, source: Tensor, size: int) -> Tensor:
    """Attention over positions of the source as a distribution over words (See et al. 2017, eq. 9).

    Args:
        weights: `(batch, queries, keys)`.
        source: `(batch, keys)` ids; a word at several positions gets the sum of their weights.
        size: of the vocabulary, including words that occur in this source only.

    Returns:
        `(batch, queries, size)`.
    """
    words = source[:, None].expand_as(weights)
    return weights.new_zeros(*weights.shape[:2], size).scatter_add(2, words, weights)
