"""Positions as parts of a network: added to embeddings, or acting inside attention."""

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
    """A learned vector per position, to add to embeddings (Gehring et al. 2017).

    Args:
        length: positions that have a vector.
        width: of a vector.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(length, width) * width**-0.5)

    def forward(self, length: int, *, first: int = 0) -> Tensor:
        """Vectors `(length, width)` of positions from `first` on.

        Raises:
            InputError: past the last position that has a vector.
        """
        if first + length > len(self.table):
            raise InputError(
                f"a sequence of {first + length} tokens needs as many learned positions, this model has "
                f"{len(self.table)}; shorten it, or train with a larger max_length or other positions"
            )
        return self.table[first : first + length]


class SinusoidalPositions(nn.Module):
    """Sines and cosines of the position, to add to embeddings (Vaswani et al. 2017).

    Any length; a table of the first 512 positions spares recomputing them.

    Args:
        width: of a vector.
    """

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(sinusoidal(512, width)), persistent=False)

    def forward(self, length: int, *, first: int = 0) -> Tensor:
        """Vectors `(length, width)` of positions from `first` on."""
        table = self.table
        if first + length > len(table):
            table = torch.from_numpy(sinusoidal(first + length, table.shape[1])).to(table)
        return table[first : first + length]


class Positions(nn.Module):
    """Positions inside an attention: turned queries and keys, or a bias on the scores.

    The plain class does nothing.
    """

    def rotate(self, x: Tensor, *, first: int = 0) -> Tensor:
        """Queries or keys `(batch, heads, length, features)` at positions from `first` on."""
        return x

    def bias(self) -> Bias | None:
        """What is added to the scores."""
        return None


class RotaryPositions(Positions):
    """Rotary position embedding, RoPE (Su et al. 2021).

    Args:
        base: the longest wavelength is `2 pi base`.
    """

    def __init__(self, base: float = 10_000.0) -> None:
        super().__init__()
        self.base = base

    def rotate(self, x: Tensor, *, first: int = 0) -> Tensor:
        """Each pair of features, turned by its position."""
        places = torch.arange(first, first + x.shape[-2], device=x.device)
        turned: Tensor = rotary(x, places, base=self.base)
        return turned


class ALiBiPositions(Positions):
    """Scores fall linearly with distance (Press, Smith and Lewis 2022)."""

    def bias(self) -> Bias:
        """The slopes; there is nothing to learn."""
        return ALiBi()


class RelativePositions(Positions):
    """A learned bias per head and range of distances (T5, Raffel et al. 2020).

    Args:
        heads: of the attention.
        buckets: ranges of distance.
        max_distance: distances from here on share the last range.
        bidirectional: tell keys ahead from keys behind; `False` for causal attention.
    """

    def __init__(
        self, heads: int, *, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(heads, buckets) * 0.1)
        self.max_distance, self.bidirectional = max_distance, bidirectional

    def bias(self) -> Bias:
        """The table, to be looked up by distance."""
        return Relative(
            self.table, bidirectional=self.bidirectional, max_distance=self.max_distance
        )
