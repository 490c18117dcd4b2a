"""What several models are made of."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from regard.layers.dropout import Dropout
from regard.text import PAD

__all__ = ["Branch", "Embedding", "FeedForward", "WordDropout", "padding_mask", "written"]


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """`(batch, size)` Boolean, `True` at the first `lengths[i]` places of row `i`."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def written(layer: nn.Linear, x: Tensor, desk: Tensor | None) -> Tensor:
    """`layer(x)`, written to `desk` if there is one and it is of the right kind; not for training.

    A step of decoding writes so many logits that the memory for them, were it new each time, would take
    longer to get than they take to compute.
    """
    if desk is None or desk.dtype != x.dtype or layer.weight.dtype != x.dtype:
        logits: Tensor = layer(x)
        return logits
    if layer.bias is None:
        return torch.mm(x, layer.weight.T, out=desk)
    return torch.addmm(layer.bias, x, layer.weight.T, out=desk)


class Embedding(nn.Embedding):
    """Token vectors; the vector of padding is zero, and so is its gradient.

    Args:
        size: rows.
        width: of a vector.
        scaled: multiply by `sqrt(width)`, so that vectors small enough to be a softmax layer are large
            enough to be an input (Vaswani et al. 2017, section 3.4).
    """

    def __init__(self, size: int, width: int, *, scaled: bool = False) -> None:
        super().__init__(size, width, padding_idx=PAD)
        self.factor = math.sqrt(width) if scaled else 1.0
        nn.init.normal_(self.weight, std=width**-0.5 if scaled else 0.1)
        with torch.no_grad():
            self.weight[PAD] = 0.0

    def forward(self, ids: Tensor) -> Tensor:
        """`(...)` ids to `(..., width)`."""
        vectors = super().forward(ids)
        return vectors if self.factor == 1.0 else vectors * self.factor


class Branch(nn.Module):
    """What surrounds a sublayer: `x + f(norm(x))` (pre) or `norm(x + f(x))` (post).

    Pre-normalisation trains without warm-up, and deeper (Xiong et al. 2020).

    Args:
        width: of `x`.
        norm: where the norm stands.
        dropout: of what the sublayer adds.
    """

    def __init__(self, width: int, *, norm: Literal["pre", "post"], dropout: float) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def enter(self, x: Tensor) -> Tensor:
        """What the sublayer reads."""
        normed: Tensor = self.norm(x) if self.pre else x
        return normed

    def leave(self, x: Tensor, y: Tensor) -> Tensor:
        """The sublayer's answer `y` joined to `x`."""
        x = x + self.dropout(y)
        return x if self.pre else self.norm(x)


class FeedForward(nn.Sequential):
    """Two layers applied to each position on its own."""

    def __init__(self, width: int, inner: int, *, activation: str, dropout: float) -> None:
        act = nn.ReLU() if activation == "relu" else nn.GELU()
        super().__init__(nn.Linear(width, inner), act, Dropout(dropout), nn.Linear(inner, width))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


class WordDropout(nn.Module):
    """Whole token vectors set to zero, the others scaled up (Gal and Ghahramani 2016).

    Args:
        rate: the probability of each place.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, length, width)` to the same."""
        if not (self.training and self.rate):
            return x
        kept = torch.rand(*x.shape[:-1], 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)
