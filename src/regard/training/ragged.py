"""Token ids of a whole corpus, made once, and the batches cut from them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryFile, gettempdir
from typing import IO, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.errors import TrainingError

__all__ = ["Batch", "Epoch", "Ragged", "labelled_batch", "pair_batch", "text_batch"]

PAD = 0
IN_MEMORY = 2**26  # ids, 256 MiB


class Ragged:
    """Sequences of different length, one after another in one array of 4-byte integers.

    Up to 256 MiB of them stay in memory; more go to a file without a name, which is mapped and
    vanishes with the process.

    >>> Ragged([[5, 6], [7]]).pad([1, 0])
    (tensor([[7, 0], [5, 6]]), tensor([1, 2]))

    Raises:
        TrainingError: the disk has no room for them.
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        ids = _Ids()
        for sequence in sequences:
            ids.add(sequence)
        self._take(ids)

    @classmethod
    def pairs(cls, rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> tuple[Self, Self]:
        """Both sides of some pairs, from one pass over them."""
        sides, stores = (cls(()), cls(())), (_Ids(), _Ids())
        for row in rows:
            for ids, sequence in zip(stores, row, strict=True):
                ids.add(sequence)
        for side, ids in zip(sides, stores, strict=True):
            side._take(ids)
        return sides

    def _take(self, ids: _Ids) -> None:
        self.flat, self.lengths = ids.finish()
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])

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


class _Ids:
    """Ids as they come: in memory first, in a file from the moment they are too many."""

    def __init__(self) -> None:
        self._ids, self._lengths = array("i"), array("q")
        self._file: IO[bytes] | None = None

    def add(self, sequence: Sequence[int]) -> None:
        self._ids.extend(sequence)
        self._lengths.append(len(sequence))
        if len(self._ids) > IN_MEMORY:
            self._write()

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """All ids, and how many of them each sequence has."""
        lengths = np.array(self._lengths, dtype=np.int64)
        if self._file is None:
            return np.array(self._ids, dtype=np.int32), lengths
        self._write()
        with self._file as file:  # what is mapped stays
            return np.asarray(np.memmap(file, dtype=np.int32, mode="r")), lengths

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = TemporaryFile(prefix="regard-ids-")  # noqa: SIM115 - closed by `finish`
            self._ids.tofile(self._file)
            self._file.flush()
        except OSError as error:
            raise TrainingError(
                f"the token ids of the corpus are too many for memory and cannot be put on the "
                f"disk ({error}); make room in {gettempdir()}, or set TMPDIR to another folder"
            ) from error
        self._ids = array("i")


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
