"""Attention pooling: one vector for a sequence, by scores that need no query."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError, ShapeError

__all__ = ["AttentionPooling", "weighted_mean"]


def weighted_mean(weights: Tensor, sequence: Tensor) -> Tensor:
    """The weighted mean of a sequence for each part and head, heads concatenated.

    Args:
        weights: `(batch, heads, parts, length)`.
        sequence: `(batch, length, width)`.

    Returns:
        `(batch, parts, heads * width)`.
    """
    return (weights @ sequence[:, None]).transpose(1, 2).flatten(2)


class AttentionPooling(nn.Module):
    r"""A weighted mean of a sequence, with weights computed from the sequence itself.

    .. math::
        u_t = \tanh(W h_t + b) \qquad
        \alpha = \operatorname{softmax}_t(v^\top u_t + p_t) \qquad
        s = \sum_t \alpha_t h_t

    The formula is that of two papers. In hierarchical attention :math:`v` is the *context vector*, "what
    is the informative word" (Yang et al. 2016, "Hierarchical Attention Networks for Document
    Classification"). With `hidden=1` it is the learnable function of feed-forward attention (Raffel
    and Ellis 2016, "Feed-Forward Networks with Attention Can Solve Some Long-Term Memory Problems"),
    with a learned range. The position bias :math:`p_t`, initially zero, favours positions whatever the
    token there. Several heads share :math:`W`; each has its own :math:`v` (and :math:`p`), and their
    means are concatenated (Lin et al. 2017, "A Structured Self-Attentive Sentence Embedding").

    It is dot-product attention with a learned query :math:`v` and values :math:`h`. With one query per
    head the weights are as small as the output, so they are computed at once, not by `attend`; the mean
    is the function `weighted_mean`.

    Args:
        width: features of the sequence.
        hidden: rows of :math:`W`; `None` for as many as `width`.
        heads: number of heads.
        positions: number of positions that have a bias of their own; 0 for no bias.

    Raises:
        InputError: a size below 1, or a negative number of positions.

    >>> import torch
    >>> from regard.layers import AttentionPooling
    >>> pooled, weights = AttentionPooling(8, heads=2)(torch.zeros(1, 5, 8))
    >>> tuple(pooled.shape), weights.shape
    ((1, 16), (1, 2, 1, 5))
    """

    def __init__(
        self, width: int, hidden: int | None = None, *, heads: int = 1, positions: int = 0
    ) -> None:
        super().__init__()
        hidden = width if hidden is None else hidden
        if min(width, hidden, heads) < 1 or positions < 0:
            raise InputError(
                f"width={width}, hidden={hidden}, heads={heads} must be at least 1 and "
                f"positions={positions} at least 0"
            )
        self.project: nn.Linear = nn.Linear(width, hidden)
        self.context: nn.Parameter = nn.Parameter(torch.empty(heads, hidden))
        self.position: nn.Parameter | None = (
            nn.Parameter(torch.zeros(heads, positions)) if positions else None
        )
        nn.init.normal_(self.context, std=hidden**-0.5)

    def forward(self, sequence: Tensor, mask: Tensor | None = None) -> tuple[Tensor, AttentionMap]:
        """Pool each row of a batch, or several parts of each.

        Args:
            sequence: `(batch, length, width)`.
            mask: `(batch, length)` Boolean, `True` for tokens, `False` for padding; `None` if there is
                no padding. Or `(batch, parts, length)`, `True` for the tokens of each part, as when a
                document is pooled sentence by sentence.

        Returns:
            The weighted mean, `(batch, heads * width)` or `(batch, parts, heads * width)`, zeros where
            the mask has no token; and the map, `(batch, heads, parts, length)`, with one part unless
            the mask has more.

        Raises:
            ShapeError: a sequence longer than the position bias.
        """
        length = sequence.shape[1]
        if self.position is not None and length > self.position.shape[-1]:
            raise ShapeError(
                f"a sequence of {length} tokens, but the position bias has "
                f"{self.position.shape[-1]}; cut the sequence or make the pooling with more positions"
            )
        single = mask is None or mask.ndim == 2
        if mask is not None:
            mask = mask[:, None] if single else mask
            # NaN in the padding would come back through the gradient of W.
            sequence = torch.where(mask.any(1)[..., None], sequence, 0.0)
        scores = torch.tanh(self.project(sequence)) @ self.context.mT
        scores = scores.mT if scores.dtype == torch.float64 else scores.mT.float()
        if self.position is not None:
            scores = scores + self.position[:, :length]
        weights = _softmax(scores[:, :, None], None if mask is None else mask[:, None])
        pooled = weighted_mean(weights.to(sequence.dtype), sequence)
        return (pooled[:, 0] if single else pooled), AttentionMap.from_dense(weights)


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis, 0 where `mask` is false; all zeros for a masked row."""
    if mask is None:
        return scores.softmax(-1)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).masked_fill(~mask, 0.0)
