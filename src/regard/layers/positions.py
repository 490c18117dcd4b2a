"""Positional encodings as modules: added to embeddings, or inside attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.attention.positions import ALiBi, Bias, Relative, rotary, sinusoidal
from regard.errors import InputError

__all__ = [
    "ALiBiPositions",
    "LearnedPositions",
    "Positions",
    "RelativePositions",
    "RotaryPositions",
    "SinusoidalPositions",
]


class LearnedPositions(nn.Module):
    """A learned vector for each position, to add to embeddings (Gehring et al. 2017).

    Args:
        length: number of positions that have a vector.
        width: features of a vector.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table: nn.Parameter = nn.Parameter(torch.randn(length, width) * width**-0.5)

    def forward(self, length: int, *, first: int = 0) -> Tensor:
        """Vectors `(length, width)` of positions from `first` on.

        Raises:
            InputError: positions beyond the last one that has a vector.
        """
        if first + length > len(self.table):
            raise InputError(
                f"a sequence of {first + length} tokens needs as many learned positions, this model has "
                f"{len(self.table)}; shorten it, or train with a larger max_length or other positions"
            )
        return self.table[first : first + length]


class SinusoidalPositions(nn.Module):
    """Sines and cosines of the position, to add to embeddings (Vaswani et al. 2017).

    Sequences may have any length. A table holds the first 512 positions; longer ones are computed
    anew. The function is `regard.positions.sinusoidal`.

    Args:
        width: features of a vector.
    """

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        # Of the meta device there are shapes alone, and a width out of a damaged file may be any.
        shapes_only = torch.get_default_device().type == "meta"
        table = torch.empty(512, width) if shapes_only else torch.from_numpy(sinusoidal(512, width))
        self.register_buffer("table", table, persistent=False)

    def forward(self, length: int, *, first: int = 0) -> Tensor:
        """Vectors `(length, width)` of positions from `first` on."""
        table = self.table
        if first + length > len(table):
            table = torch.from_numpy(sinusoidal(first + length, table.shape[1])).to(table)
        return table[first : first + length]


class Positions(nn.Module):
    """Base of positions inside attention: rotated queries and keys, or a bias on the scores.

    This class itself leaves attention without positions.
    """

    def rotate(self, x: Tensor, *, first: int = 0) -> Tensor:
        """Rotate queries or keys, `(batch, heads, length, features)`, at positions from `first` on."""
        return x

    def bias(self) -> Bias | None:
        """The bias added to the scores, if any."""
        return None


class RotaryPositions(Positions):
    """Rotary position embedding, RoPE (Su et al. 2021), by `regard.positions.rotary`.

    Args:
        base: the longest wavelength is `2 pi base` positions.
    """

    def __init__(self, base: float = 10_000.0) -> None:
        super().__init__()
        self.base = base

    def rotate(self, x: Tensor, *, first: int = 0) -> Tensor:
        """Rotate each pair of features by its position."""
        positions = torch.arange(first, first + x.shape[-2], device=x.device)
        rotated: Tensor = rotary(x, positions, base=self.base)
        return rotated


class ALiBiPositions(Positions):
    """ALiBi: scores fall linearly with distance (Press, Smith and Lewis 2022). No parameters."""

    def bias(self) -> Bias:
        """`regard.positions.ALiBi`."""
        return ALiBi()


class RelativePositions(Positions):
    """A learned bias for each head and bucket of distances (T5, Raffel et al. 2020).

    Args:
        heads: number of heads of the attention.
        buckets: number of buckets.
        max_distance: distances from here on share the last bucket.
        bidirectional: give keys after the query buckets of their own; `False` for causal attention.
    """

    def __init__(
        self, heads: int, *, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
    ) -> None:
        super().__init__()
        self.table: nn.Parameter = nn.Parameter(torch.randn(heads, buckets) * 0.1)
        self.max_distance: int = max_distance
        self.bidirectional: bool = bidirectional

    def bias(self) -> Bias:
        """`regard.positions.Relative` with this table."""
        return Relative(
            self.table, bidirectional=self.bidirectional, max_distance=self.max_distance
        )
