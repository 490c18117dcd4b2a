"""Pointer attention: a distribution over the words of the source."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.attention.normalizers import Softmax
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
        projected: Tensor = self.key(key)
        return projected

    def forward(
        self,
        query: Tensor,
        projected_key: Tensor,
        value: Tensor,
        *,
        coverage: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step.

        Args:
            query: `(batch, queries, query_width)`, hypotheses of one step (a beam), not a sequence.
            projected_key: `(batch, keys, hidden)`, from `project_keys`.
            value: `(batch, keys, value_width)`.
            coverage: `(batch, queries, keys)`, the sum of the weights of all steps before.
            mask: `(batch, keys)` Boolean, `True` = may attend.

        Returns:
            The context `(batch, queries, value_width)`, the weights `(batch, queries, keys)`, which are
            the copy distribution, and the coverage with them added.
        """
        projected = self.query(query)
        inner = projected[:, :, None] + projected_key[:, None]
        if self.covered is not None:
            inner = inner + coverage[..., None].to(projected.dtype) * self.covered
        inner = torch.tanh(inner)
        weights = masked_weights(inner @ self.vector, mask, Softmax())
        return weights.to(value.dtype) @ value, weights, coverage + weights


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
