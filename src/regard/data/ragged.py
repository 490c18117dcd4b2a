"""Token ids of a whole corpus, tokenised once: sequences of different length in one array."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from tempfile import TemporaryFile, gettempdir
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from regard.errors import TrainingError
from regard.text import PAD

__all__ = ["Ragged"]

MAX_IN_MEMORY = 2**26
"""Ids that are kept in memory, 256 MiB; more go to a file."""


class Ragged:
    """Sequences of different length, one after another in one array of 4-byte integers.

    Up to 256 MiB of them stay in memory; more go to a file without a name, which is memory-mapped
    and vanishes with the process. The interface is the same.

    >>> ids, lengths = Ragged([[5, 6], [7]]).pad([1, 0])
    >>> ids.tolist(), lengths.tolist()
    ([[7, 0], [5, 6]], [1, 2])

    Args:
        sequences: consumed once, in order.

    Attributes:
        flat: all ids, `(total,)`.
        lengths: ids of each sequence, `(sequences,)`.
        starts: index in `flat` of each sequence's first id, and the total, `(sequences + 1,)`.

    Raises:
        TrainingError: the disk has no room for them.
    """

    flat: NDArray[np.int32]
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        writer = _Writer()
        for sequence in sequences:
            writer.add(sequence)
        self._set(writer)

    @classmethod
    def pairs(cls, rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> tuple[Self, Self]:
        """Make one of each side of the pairs, in one pass over them."""
        sides, writers = (cls(()), cls(())), (_Writer(), _Writer())
        for row in rows:
            for writer, sequence in zip(writers, row, strict=True):
                writer.add(sequence)
        for side, writer in zip(sides, writers, strict=True):
            side._set(writer)
        return sides

    def _set(self, writer: _Writer) -> None:
        self.flat, self.lengths = writer.finish()
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.flat[self.starts[index] : self.starts[index + 1]]

    def pad(self, indices: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return some sequences as `(batch, longest)` ids, padded on the right, and `(batch,)` lengths."""
        lengths = self.lengths[indices]
        padded = np.full((len(indices), int(lengths.max(initial=0))), PAD, dtype=np.int64)
        for row, index in enumerate(indices):
            padded[row, : lengths[row]] = self[index]
        return padded, lengths


class _Writer:
    """Collects ids in memory, and moves them to a file as soon as they are too many."""

    def __init__(self) -> None:
        self._ids, self._lengths = array("i"), array("q")
        self._file: IO[bytes] | None = None

    def add(self, sequence: Sequence[int]) -> None:
        self._ids.extend(sequence)
        self._lengths.append(len(sequence))
        if len(self._ids) > MAX_IN_MEMORY:
            self._flush()

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return all ids and the length of each sequence."""
        lengths = np.array(self._lengths, dtype=np.int64)
        if self._file is None:
            return np.array(self._ids, dtype=np.int32), lengths
        self._flush()
        with self._file as file:  # the mapping outlives the file object
            return np.asarray(np.memmap(file, dtype=np.int32, mode="r")), lengths

    def _flush(self) -> None:
        try:
            if self._file is None:
                self._file = TemporaryFile(prefix="regard-ids-")  # noqa: SIM115 - closed by `finish`
            self._ids.tofile(self._file)
            self._file.flush()
        except OSError as error:
            raise TrainingError(
                f"the token ids of the corpus are too many for memory and cannot be written to "
                f"disk ({error}); make room in {gettempdir()}, or set TMPDIR to another folder"
            ) from error
        self._ids = array("i")
