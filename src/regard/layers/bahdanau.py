"""Additive attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.attention.normalizers import Normalizer
from regard.attention.scores import Additive
from regard.layers.deferred_gradients import Matmul
from regard.layers.single_head import PLAIN_MATMUL, SingleHeadAttention

__all__ = ["BahdanauAttention"]


class BahdanauAttention(SingleHeadAttention):
    r"""Additive attention (Bahdanau, Cho and Bengio 2015, section 3.1 and appendix A.1.2).

    .. math:: e_{ij} = v^\top \tanh(W s_i + U h_j), \quad
              \alpha_i = \mathrm{softmax}(e_i), \quad c_i = \sum_j \alpha_{ij} h_j

    A module around `regard.attend` with the score `regard.scores.Additive`.

    Args:
        query_width: features of the decoder states `s`.
        key_width: features of the annotations `h`.
        hidden: features of the sum inside `tanh`; as many as the query's unless given.
        normalizer: from scores to weights; softmax unless given.
    """

    def __init__(
        self,
        query_width: int,
        key_width: int,
        *,
        hidden: int | None = None,
        normalizer: Normalizer | None = None,
    ) -> None:
        super().__init__(query_width, key_width, normalizer)
        hidden = hidden or query_width
        self.query: nn.Linear = nn.Linear(query_width, hidden, bias=False)
        self.key: nn.Linear = nn.Linear(key_width, hidden, bias=False)
        self.vector: nn.Parameter = nn.Parameter(torch.empty(hidden))
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.uniform_(self.vector, -(hidden**-0.5), hidden**-0.5)

    def project_keys(self, key: Tensor) -> Tensor:
        """`U h`, `(batch, keys, hidden)`."""
        projected: Tensor = self.key(key)
        return projected

    def project_query(self, query: Tensor, matmul: Matmul = PLAIN_MATMUL) -> Tensor:
        """`W s`, `(batch, queries, hidden)`."""
        return matmul.linear(query, self.query.weight)

    def score(self) -> Additive:
        """`v . tanh(q + k)` of projected queries and keys."""
        return Additive(self.vector)
