"""Batches of padded examples, and the batches of one epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, overload

import torch
from torch import Tensor

from regard.data.ragged import Ragged

__all__ = ["Batch", "Divisible", "Epoch", "labelled_batch", "pair_batch", "text_batch"]


class Divisible(Protocol):
    """Batch of any kind, as the training loop uses it."""

    def part(self, rank: int, count: int) -> Self | None:
        """Take every `count`-th row from `rank` on; `None` if there is none."""
        ...

    def to(self, device: torch.device) -> Self:
        """Move it to a device."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, padded.

    Args:
        source: `(batch, length)` ids.
        source_lengths: `(batch,)`.
        target: `(batch, length)` ids from BOS to EOS; `(batch,)` class indices; `(batch, labels)`
            zeros and ones where a text may have several; `None` where the source is the target.
        target_lengths: `(batch,)`, always on the CPU: weight of each row in the mean loss.
        indices: indices of these examples in the data.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor | None
    target_lengths: Tensor
    indices: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.source)

    def part(self, rank: int, count: int) -> Batch | None:
        """Take every `count`-th row from `rank` on; `None` if there is none."""
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
        """Move source and target to a device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            source=self.source.to(device, non_blocking=True),
            source_lengths=self.source_lengths.to(device, non_blocking=True),
            target=None if self.target is None else self.target.to(device, non_blocking=True),
        )


class Epoch(Sequence[Batch]):
    """The batches of one epoch, each made when it is indexed.

    Args:
        groups: indices of the examples of each batch.
        make: indices to a batch.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], make: Callable[[Sequence[int]], Batch]
    ) -> None:
        self.groups: Sequence[Sequence[int]] = groups
        self.make: Callable[[Sequence[int]], Batch] = make

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
    """Batch source and target sequences; BOS is given, so it does not count as a target."""
    ids, lengths = _padded(source, indices)
    targets, target_lengths = _padded(target, indices)
    return Batch(ids, lengths, targets, target_lengths - 1, tuple(indices))


def labelled_batch(source: Ragged, labels: Tensor, indices: Sequence[int]) -> Batch:
    """Batch sequences with their labels, one row of `labels` per example."""
    ids, lengths = _padded(source, indices)
    ones = torch.ones(len(indices), dtype=torch.int64)
    return Batch(ids, lengths, labels[torch.as_tensor(indices)], ones, tuple(indices))


def text_batch(source: Ragged, indices: Sequence[int]) -> Batch:
    """Batch sequences from BOS on that are their own target."""
    ids, lengths = _padded(source, indices)
    return Batch(ids, lengths, None, lengths - 1, tuple(indices))


def _padded(sequences: Ragged, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    ids, lengths = sequences.pad(indices)
    return torch.from_numpy(ids), torch.from_numpy(lengths)
