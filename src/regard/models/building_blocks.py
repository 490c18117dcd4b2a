"""Building blocks that several models share: embeddings, residual connections, feed-forward layers."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from regard.attention.exporting import is_exporting
from regard.layers.dropout import Dropout
from regard.layers.linear import Linear
from regard.text import PAD

__all__ = [
    "Embedding",
    "FeedForward",
    "Residual",
    "WordDropout",
    "all_real",
    "mask_of_padding",
    "padding_mask",
]


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """`(batch, size)` Boolean, `True` at the first `lengths[i]` positions of row `i`."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def mask_of_padding(lengths: Tensor, size: int) -> Tensor | None:
    """`padding_mask`, or `None` where every position is real, so that no mask is needed.

    A text alone has no padding, and to find that out in a mask takes as long as to embed the text. A graph,
    which has no values, always gets the mask.
    """
    if not _is_graph() and min(lengths.tolist(), default=0) >= size:
        return None
    return padding_mask(lengths, size)


def all_real(mask: Tensor) -> bool:
    """Whether every position is real, so that no mask is needed; `False` in a graph, which has no values."""
    return not _is_graph() and bool(mask.all())


def _is_graph() -> bool:
    return is_exporting() or torch.compiler.is_compiling()


class Embedding(nn.Embedding):
    """Token vectors; the vector of padding is zero, and so is its gradient.

    Args:
        size: rows.
        width: size of a vector.
        scaled: multiply by `sqrt(width)`: vectors small enough to serve as output layer become large
            enough to serve as input (Vaswani et al. 2017, section 3.4).
    """

    def __init__(self, size: int, width: int, *, scaled: bool = False) -> None:
        super().__init__(size, width, padding_idx=PAD)
        self.factor: float = math.sqrt(width) if scaled else 1.0
        nn.init.normal_(self.weight, std=width**-0.5 if scaled else 0.1)
        with torch.no_grad():
            self.weight[PAD] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        """Look up `(...)` ids as `(..., width)` vectors."""
        vectors = super().forward(input)
        return vectors if self.factor == 1.0 else vectors * self.factor


class Residual(nn.Module):
    r"""Residual connection with layer norm around a sublayer f: before it, or after the sum.

    .. math:: x + f(\mathrm{norm}(x)) \quad \text{(pre)} \qquad \mathrm{norm}(x + f(x)) \quad \text{(post)}

    Pre-normalisation trains without warm-up, and deeper (Xiong et al. 2020). Usage: `x = r.post(x,
    f(r.pre(x)))`.

    Args:
        width: size of `x`.
        norm: where the norm is.
        dropout: rate, applied to the sublayer's output.
    """

    def __init__(self, width: int, *, norm: Literal["pre", "post"], dropout: float) -> None:
        super().__init__()
        self.pre_norm: bool = norm == "pre"
        self.norm: nn.LayerNorm = nn.LayerNorm(width)
        self.dropout: Dropout = Dropout(dropout)

    def pre(self, x: Tensor) -> Tensor:
        """Compute the input of the sublayer."""
        normed: Tensor = self.norm(x) if self.pre_norm else x
        return normed

    def post(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the sublayer's output `y` to `x`."""
        x = x + self.dropout(y)
        return x if self.pre_norm else self.norm(x)


class FeedForward(nn.Sequential):
    """Two linear layers with an activation between them, applied to each position on its own."""

    def __init__(self, width: int, inner: int, *, activation: str, dropout: float) -> None:
        act = nn.ReLU() if activation == "relu" else nn.GELU()
        super().__init__(Linear(width, inner), act, Dropout(dropout), Linear(inner, width))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


class WordDropout(nn.Module):
    """Dropout of whole token vectors; the others are scaled up (Gal and Ghahramani 2016).

    Args:
        rate: probability for each position.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop vectors of `x` `(batch, length, width)` in training mode."""
        if not (self.training and self.rate):
            return x
        kept = torch.rand(*x.shape[:-1], 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)
