"""Attention pooling: one vector for a sequence, by scores that need no query."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask, as_mask
from regard.attention.positions import as_bias
from regard.attention.problem import DenseMatrix
from regard.errors import InputError, MaskError, ShapeError
from regard.layers.checks import as_tensor, check_sequence, layout_of

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
        self.width: int = width
        self.project: nn.Linear = nn.Linear(width, hidden)
        self.context: nn.Parameter = nn.Parameter(torch.empty(heads, hidden))
        self.position: nn.Parameter | None = (
            nn.Parameter(torch.zeros(heads, positions)) if positions else None
        )
        nn.init.normal_(self.context, std=hidden**-0.5)

    def forward(
        self, sequence: Tensor, mask: Mask | Tensor | None = None, *, bias: Any = None
    ) -> tuple[Tensor, AttentionMap]:
        """Pool each row of a batch, or several parts of each.

        Args:
            sequence: `(batch, length, width)`.
            mask: `(batch, length)` Boolean, `True` for tokens, `False` for padding, or a mask such as
                `regard.padding(lengths)`; `None` if there is no padding. Or `(batch, parts, length)`,
                `True` for the tokens of each part, as when a document is pooled sentence by sentence.
            bias: added to the scores: a float tensor that broadcasts to `(batch, heads, parts, length)`,
                or a bias object.

        Returns:
            The weighted mean, `(batch, heads * width)` or `(batch, parts, heads * width)`, zeros where
            the mask has no token; and the map, `(batch, heads, parts, length)`, with one part unless
            the mask has more.

        Raises:
            ShapeError: another number of axes or features, a sequence longer than the position bias, a
                bias that does not fit.
            MaskError: a mask of another type or shape.
        """
        check_sequence("sequence", sequence, self.width, self.context)
        batch, length = sequence.shape[:2]
        if self.position is not None and length > self.position.shape[-1]:
            raise ShapeError(
                f"a sequence of {length} tokens, but the position bias has "
                f"{self.position.shape[-1]}; cut the sequence or make the pooling with more positions"
            )
        mask = as_tensor(mask)
        in_parts = isinstance(mask, Tensor) and mask.ndim == 3
        parts = mask.shape[1] if isinstance(mask, Tensor) and in_parts else 1
        layout = layout_of(batch, len(self.context), parts, length, sequence)
        allowed = None if mask is None else _allowed(mask, layout)
        if allowed is not None:
            # NaN in the padding would come back through the gradient of W.
            sequence = torch.where(allowed.any(1).any(1)[..., None], sequence, 0.0)
        scores = torch.tanh(self.project(sequence)) @ self.context.mT
        scores = scores.mT if scores.dtype == torch.float64 else scores.mT.float()
        if self.position is not None:
            scores = scores + self.position[:, :length]
        scores = scores[:, :, None]
        if bias is not None:
            bias = as_bias(bias)
            bias.check(layout)
            scores = scores + bias.tile(layout, slice(0, parts), slice(0, length))
        if allowed is None and bias is None and self.position is None:
            weights = scores.softmax(-1)  # bounded scores, of which no row can be -inf throughout
        else:
            weights = _softmax(scores, allowed)
        pooled = weighted_mean(weights.to(sequence.dtype), sequence)
        return (pooled if in_parts else pooled[:, 0]), AttentionMap(DenseMatrix(layout, weights))


def _allowed(mask: Mask | Tensor, layout: AttentionLayout) -> Tensor:
    """The mask of a pooling as Booleans, `(batch or 1, heads or 1, parts or 1, length)`.

    Raises:
        MaskError: another type or shape.
    """
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        sizes = (layout.batch, layout.queries, layout.keys)
        expected = sizes if mask.ndim == 3 else (layout.batch, layout.keys)
        if mask.ndim not in (2, 3) or any(
            n != m and (axis or n != 1)
            for axis, (n, m) in enumerate(zip(mask.shape, expected, strict=True))
        ):
            raise MaskError(
                f"mask has shape {tuple(mask.shape)}; expected ({layout.batch}, {layout.keys}), True for "
                f"tokens, or ({layout.batch}, parts, {layout.keys})"
            )
        mask = mask.to(layout.device)
        return mask[:, None] if mask.ndim == 3 else mask[:, None, None]
    mask = as_mask(mask)
    mask.check(layout)
    tile: Tensor = mask.tile(layout, slice(0, layout.queries), slice(0, layout.keys))
    return tile


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis, 0 where `mask` is false; all zeros for a masked row."""
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    # A row in which all is masked, by the mask or by a bias of -inf, is NaN after softmax.
    nothing = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.softmax(-1).masked_fill(nothing, 0.0)
