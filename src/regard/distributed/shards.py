"""Which positions of a sequence lie in which process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

import torch
from torch import Tensor

from regard.errors import InputError, ShapeError

__all__ = ["Shards"]


@dataclass(frozen=True)
class Shards:
    """A sequence in parts: each process holds some ranges of positions, one after another.

    Every process holds an equal `Shards`, so that it knows where all positions are.

    Attributes:
        ranges: for each process its ranges, in the order in which its tensors hold them. Together they
            are all positions of the sequence, each once.

    Raises:
        InputError: no process, or ranges that are no partition of `0 ... length`.

    >>> shards = Shards.zigzag(12, 3)
    >>> shards.ranges[1]
    (range(2, 4), range(8, 10))
    >>> parts = [shards.take(torch.arange(12.0), rank, axis=0) for rank in range(3)]
    >>> parts[1].tolist()
    [2.0, 3.0, 8.0, 9.0]
    >>> bool((shards.join(parts, axis=0) == torch.arange(12.0)).all())
    True
    """

    ranges: tuple[tuple[range, ...], ...]

    def __post_init__(self) -> None:
        if not self.ranges:
            raise InputError("Shards got no process; expected the ranges of at least one")
        pieces = sorted(
            (piece for own in self.ranges for piece in own if piece), key=lambda piece: piece.start
        )
        end = 0
        for piece in pieces:
            if piece.step != 1 or piece.start != end:
                raise InputError(
                    f"Shards got {piece} where position {end} comes next; expected ranges of step 1 that "
                    "hold each position once"
                )
            end = piece.stop

    @classmethod
    def even(cls, length: int, processes: int) -> Self:
        """Contiguous shards of equal length; the first ones have one position more where there is a rest."""
        return cls.contiguous(_equal_parts(length, processes))

    @classmethod
    def contiguous(cls, lengths: Sequence[int]) -> Self:
        """Contiguous shards of these lengths, in the order of the processes.

        Raises:
            InputError: no length, or a negative one.
        """
        if any(length < 0 for length in lengths):
            raise InputError(f"Shards got lengths {list(lengths)}; expected 0 or more positions")
        edges = pairwise(accumulate(lengths, initial=0))
        return cls(tuple((range(start, stop),) for start, stop in edges))

    @classmethod
    def zigzag(cls, length: int, processes: int) -> Self:
        """Shards with equal work under a causal mask.

        The sequence is cut into `2 * processes` chunks; process `r` holds chunk `r` from the front and chunk
        `r` from the back. The last chunk attends to everything and the first to next to nothing, so that
        every process has the work of half a matrix. It is the layout of torch's `context_parallel`.

        Raises:
            InputError: fewer than 1 process, or a negative length.
        """
        edges = [0, *accumulate(_equal_parts(length, 2 * processes))]
        chunks = [range(start, stop) for start, stop in pairwise(edges)]
        return cls(tuple((chunks[r], chunks[-1 - r]) for r in range(processes)))

    @property
    def processes(self) -> int:
        """Number of processes."""
        return len(self.ranges)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Positions of each process."""
        return tuple(sum(map(len, own)) for own in self.ranges)

    @property
    def length(self) -> int:
        """Positions of the whole sequence."""
        return sum(self.lengths)

    def positions(self, rank: int) -> Tensor:
        """The positions that a process holds, `(local,)` int64: for encodings, and for targets."""
        return torch.cat([torch.arange(piece.start, piece.stop) for piece in self.ranges[rank]])

    def take(self, x: Tensor, rank: int, *, axis: int = -2) -> Tensor:
        """The shard of one process; gradients flow through it.

        Args:
            x: the whole sequence.
            rank: of the process.
            axis: of the positions.

        Raises:
            ShapeError: another length.
        """
        if x.shape[axis] != self.length:
            raise ShapeError(
                f"x has {x.shape[axis]} positions along axis {axis}; the shards are of {self.length}"
            )
        parts = [x.narrow(axis, piece.start, len(piece)) for piece in self.ranges[rank]]
        return torch.cat(parts, axis)

    def join(self, parts: Sequence[Tensor], *, axis: int = -2) -> Tensor:
        """The whole sequence from the shards of all processes, in the order of the processes.

        Raises:
            ShapeError: a number of parts or a length that does not fit.
        """
        found = tuple(part.shape[axis] for part in parts)
        if found != self.lengths:
            raise ShapeError(
                f"parts have {list(found)} positions along axis {axis}; expected {list(self.lengths)}"
            )
        pieces = [
            (span.start, piece)
            for own, part in zip(self.ranges, parts, strict=True)
            for span, piece in zip(own, torch.split(part, list(map(len, own)), axis), strict=True)
        ]
        return torch.cat([piece for _, piece in sorted(pieces, key=lambda pair: pair[0])], axis)


def _equal_parts(length: int, parts: int) -> list[int]:
    if parts < 1 or length < 0:
        raise InputError(
            f"Shards got {length} positions in {parts} parts; expected a length of at least 0 and at least "
            "1 process"
        )
    each, rest = divmod(length, parts)
    return [each + (part < rest) for part in range(parts)]
