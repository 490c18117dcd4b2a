"""Token ids of a whole corpus, made once, and the batches cut from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Batch", "Epoch", "Ragged", "labelled_batch", "pair_batch", "text_batch"]

PAD = 0


class Ragged:
    """Sequences of different length, one after another in one array of 4-byte integers.

    >>> Ragged([[5, 6], [7]]).pad([1, 0])
    (tensor([[7, 0], [5, 6]]), tensor([1, 2]))
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        parts = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        self.lengths: NDArray[np.int64] = np.array([len(part) for part in parts], dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.flat = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.flat[self.starts[index] : self.starts[index + 1]]

    def pad(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The chosen sequences as `(ids, lengths)`, padded with 0 on the right."""
        lengths = self.lengths[indices]
        padded = np.full((len(indices), int(lengths.max(initial=0))), PAD, dtype=np.int64)
        for row, index in enumerate(indices):
            padded[row, : lengths[row]] = self[index]
        return torch.from_numpy(padded), torch.from_numpy(lengths)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, padded.

    Args:
        source: `(batch, length)` ids.
        source_lengths: `(batch,)`.
        target: `(batch, length)` ids from BOS to EOS; `(batch,)` class numbers; `(batch, labels)`
            zeros and ones when there may be several; `None` when the source is the target.
        target_lengths: `(batch,)`, always on the CPU: how much each row counts in the mean loss.
        indices: which examples these are.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor | None
    target_lengths: Tensor
    indices: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.source)

    def part(self, rank: int, count: int) -> Batch | None:
        """Every `count`-th row from `rank` on; `None` if there is none."""
        if count == 1:
            return self
        if rank >= len(self):
            return None
        rows = slice(rank, None, count)
        return Batch(
            source=self.source[rows],
            source_lengths=self.source_lengths[rows],
            target=None if self.target is None else self.target[rows],
            target_lengths=self.target_lengths[rows],
            indices=self.indices[rows],
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            source=self.source.to(device, non_blocking=True),
            source_lengths=self.source_lengths.to(device, non_blocking=True),
            target=None if self.target is None else self.target.to(device, non_blocking=True),
        )


class Epoch(Sequence[Batch]):
    """The batches of one epoch, each made when asked for."""

    def __init__(
        self, groups: Sequence[Sequence[int]], make: Callable[[Sequence[int]], Batch]
    ) -> None:
        self.groups, self.make = groups, make

    def __len__(self) -> int:
        return len(self.groups)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [self.make(group) for group in self.groups[index]]
        return self.make(self.groups[index])

    def __iter__(self) -> Iterator[Batch]:
        return map(self.make, self.groups)


def pair_batch(source: Ragged, target: Ragged, indices: Sequence[int]) -> Batch:
    """Source and target sequences; a target counts one less than its tokens, as BOS is given."""
    ids, lengths = source.pad(indices)
    targets, target_lengths = target.pad(indices)
    return Batch(ids, lengths, targets, target_lengths - 1, tuple(indices))


def labelled_batch(source: Ragged, labels: Tensor, indices: Sequence[int]) -> Batch:
    """Sequences with their labels, one row of `labels` per example."""
    ids, lengths = source.pad(indices)
    ones = torch.ones(len(indices), dtype=torch.int64)
    return Batch(ids, lengths, labels[torch.as_tensor(indices)], ones, tuple(indices))


def text_batch(source: Ragged, indices: Sequence[int]) -> Batch:
    """Sequences from BOS on that are their own target."""
    ids, lengths = source.pad(indices)
    return Batch(ids, lengths, None, lengths - 1, tuple(indices))
