"""Luong attention, global and local, with the attentional vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, masks
from regard.attention.masks import Mask
from regard.attention.normalizers import Normalizer
from regard.attention.positions import Gaussian
from regard.attention.scores import Additive, Dot, Score
from regard.errors import InputError, ShapeError, nearest
from regard.layers.checks import check_sequence, layout_of
from regard.layers.deferred_gradients import Matmul
from regard.layers.single_head import PLAIN_MATMUL, SingleHeadAttention

__all__ = ["AttentionalVector", "LocalM", "LocalP", "LuongAttention", "LuongScore"]

ScoreKind = Literal["dot", "general", "concat"]


@dataclass(frozen=True)
class LocalM:
    """Monotonic local attention: query `t` attends to keys within `width` of position `t`.

    Args:
        width: `D`, in keys, each way.
    """

    width: int


@dataclass(frozen=True)
class LocalP:
    """Predictive local attention: each query predicts a position, and a Gaussian favours it.

    Args:
        width: `D`, in keys, each way; the Gaussian's standard deviation is `D / 2`.
    """

    width: int


class LuongScore(SingleHeadAttention):
    r"""Global attention with one of three scores (Luong, Pham and Manning 2015, equation 8).

    .. math:: s^\top h \;(dot), \quad s^\top W h \;(general), \quad v^\top \tanh(W [s; h]) \;(concat)

    Args:
        query_width: features of the decoder states `s`.
        key_width: features of the encoder states `h`.
        kind: `"dot"`, `"general"` or `"concat"`.
        normalizer: from scores to weights; softmax unless given.

    Raises:
        InputError: another kind.
        ShapeError: different widths with `"dot"`.
    """

    def __init__(
        self,
        query_width: int,
        key_width: int,
        *,
        kind: ScoreKind = "general",
        normalizer: Normalizer | None = None,
    ) -> None:
        super().__init__(query_width, key_width, normalizer)
        if kind not in get_args(ScoreKind):
            raise InputError(f"score is {kind!r}; {nearest(str(kind), get_args(ScoreKind))}")
        if kind == "dot" and query_width != key_width:
            raise ShapeError(
                f"queries have {query_width} features, keys {key_width}; dot needs them equal "
                "(use general for different widths)"
            )
        self.key: nn.Linear | None = (
            None if kind == "dot" else nn.Linear(key_width, query_width, bias=False)
        )
        self.query: nn.Linear | None = (
            nn.Linear(query_width, query_width, bias=False) if kind == "concat" else None
        )
        self.vector: nn.Parameter | None = (
            nn.Parameter(torch.empty(query_width)) if kind == "concat" else None
        )
        for linear in filter(None, (self.key, self.query)):
            nn.init.xavier_uniform_(linear.weight)
        if self.vector is not None:
            nn.init.uniform_(self.vector, -(query_width**-0.5), query_width**-0.5)

    def project_keys(self, key: Tensor) -> Tensor:
        """`W h`, or the keys' part of `W [s; h]`: `(batch, keys, query_width)`; the keys for dot."""
        return key if self.key is None else self.key(key)

    def project_query(self, query: Tensor, matmul: Matmul = PLAIN_MATMUL) -> Tensor:
        """The queries' part of `W [s; h]`; the queries themselves for dot and general."""
        return query if self.query is None else matmul.linear(query, self.query.weight)

    def score(self) -> Score:
        """The score of projected queries and keys."""
        return Dot() if self.vector is None else Additive(self.vector)


class AttentionalVector(nn.Module):
    r"""The attentional vector, :math:`\tanh(W_c [c; s])` of context and query (equation 5).

    Args:
        context_width: features of the context `c`.
        query_width: features of the decoder state `s`.
        width: features of the vector.
    """

    def __init__(self, context_width: int, query_width: int, width: int) -> None:
        super().__init__()
        self.context: nn.Linear = nn.Linear(context_width, width, bias=False)
        self.query: nn.Linear = nn.Linear(query_width, width, bias=False)
        bound = (6 / (context_width + query_width + width)) ** 0.5
        for linear in (self.context, self.query):  # Xavier, for the two as one matrix W_c
            nn.init.uniform_(linear.weight, -bound, bound)

    def forward(self, context: Tensor, query: Tensor, matmul: Matmul = PLAIN_MATMUL) -> Tensor:
        """`(..., context_width)` and `(..., query_width)` to `(..., width)`."""
        from_context = matmul.linear(context, self.context.weight)
        return torch.tanh(from_context + matmul.linear(query, self.query.weight))


class LuongAttention(nn.Module):
    r"""Attention of Luong, Pham and Manning (2015), section 3: context and attentional vector.

    .. math:: a_t = \mathrm{softmax}(\mathrm{score}(s_t, h)), \quad c_t = \sum_j a_{tj} h_j, \quad
              \tilde s_t = \tanh(W_c [c_t; s_t])

    The attentional vector :math:`\tilde s` predicts the next token. With input feeding the recurrent cell
    gets it along with that token, `cell(torch.cat([embedded, attentional], -1), state)`; queries then
    come one step at a time.

    local-p differs from the paper in that rows of weights still sum to 1 (see `positions.Gaussian`).

    Args:
        query_width: features of the decoder states `s`, and of the attentional vector.
        key_width: features of the encoder states `h`.
        score: `"dot"`, `"general"` or `"concat"`; see `LuongScore`.
        where: `LocalM(width)` or `LocalP(width)`; global attention unless given.
        normalizer: from scores to weights; softmax unless given.

    Raises:
        InputError: another score.
        ShapeError: different widths with `"dot"`.
    """

    def __init__(
        self,
        query_width: int,
        key_width: int,
        *,
        score: ScoreKind = "general",
        where: LocalM | LocalP | None = None,
        normalizer: Normalizer | None = None,
    ) -> None:
        super().__init__()
        self.where = where
        self.scores: LuongScore = LuongScore(
            query_width, key_width, kind=score, normalizer=normalizer
        )
        self.combine: AttentionalVector = AttentionalVector(key_width, query_width, query_width)
        self.place: _PositionPredictor | None = (
            _PositionPredictor(query_width) if isinstance(where, LocalP) else None
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Any = None,
        first: int = 0,
    ) -> tuple[Tensor, AttentionMap]:
        """The attentional vector of each query.

        Args:
            query: `(batch, queries, query_width)`.
            key: `(batch, keys, key_width)`.
            value: `(batch, keys, key_width)`; the keys unless given, as in the paper.
            mask: the keys each query may attend to, such as `regard.padding(lengths)`; broadcasts to
                `(batch, queries, keys)`. Local-p takes for the length of the source, `S`, all keys up to
                the last one that a query may attend to.
            bias: added to the scores; broadcasts to `(batch, queries, keys)`.
            first: position of the first query, for local-m one step at a time.

        Returns:
            `(batch, queries, query_width)` and the map `(batch, queries, keys)`.

        Raises:
            ShapeError: another number of axes or features, batches or lengths that do not fit.
            MaskError: a mask of the wrong type or shape.
        """
        check_sequence("query", query, self.scores.query_width, self.combine.query.weight)
        check_sequence("key", key, self.scores.key_width, self.combine.query.weight)
        if value is not None:
            check_sequence("value", value, self.scores.key_width, self.combine.query.weight)
        if isinstance(self.where, LocalM):
            centres = torch.arange(first, first + query.shape[1], device=key.device)
            near = masks.local(centres.float(), self.where.width)
            mask = near if mask is None else near & mask
        elif isinstance(self.where, LocalP):
            assert self.place is not None
            centres = self.place(query, _source_lengths(query, key, mask))
            near = masks.local(centres, self.where.width)
            mask = near if mask is None else near & mask
            gaussian = Gaussian(centres, self.where.width)
            bias = gaussian if bias is None else gaussian + bias
        context, weights = self.scores(query, key, value, mask=mask, bias=bias)
        return self.combine(context, query), weights


def _source_lengths(query: Tensor, key: Tensor, mask: Mask | Tensor | None) -> Tensor:
    """For each query the number of keys up to the last it may attend to, `(batch, queries or 1)`."""
    batch, keys = key.shape[:2]
    if mask is None:
        return torch.full((batch, 1), keys, device=key.device)
    layout = replace(layout_of(batch, 1, query.shape[1], keys, key), rank=3)
    mask = masks.as_mask(mask)
    mask.check(layout)
    rows = slice(0, 1 if mask.same_for_all_queries else query.shape[1])
    allowed: Tensor = mask.tile(layout, rows, slice(0, keys))[:, 0]
    ends = torch.arange(1, keys + 1, device=key.device)
    return (allowed * ends).amax(-1) if keys else torch.zeros(batch, 1, device=key.device)


class _PositionPredictor(nn.Module):
    r"""The position to attend to, :math:`p = S\,\mathrm{sigmoid}(v^\top \tanh(W s))` (equation 9)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner: nn.Linear = nn.Linear(width, width, bias=False)
        self.outer: nn.Linear = nn.Linear(width, 1, bias=False)

    def forward(self, query: Tensor, lengths: Tensor) -> Tensor:
        """Positions `(batch, queries)` between 0 and the number of keys, `lengths`, of each query."""
        share = self.outer(torch.tanh(self.inner(query)))[..., 0]
        # bfloat16 has no integers beyond 256.
        share = torch.sigmoid(share if share.dtype == torch.float64 else share.float())
        return share * lengths
