"""Parallel text: line `i` of one file is the translation of line `i` of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from regard.data.corpus import Corpus, Reading, Row, collect
from regard.data.lines import FilePath, read_lines
from regard.errors import DataError

__all__ = ["first_misfit", "read_parallel", "read_text"]

Files = FilePath | Sequence[FilePath]


def listed(files: Files) -> list[str]:
    """Return one file or several as a list of names."""
    return [str(files)] if isinstance(files, str | PathLike) else [str(path) for path in files]


def read_parallel(sources: Files, targets: Files, *, reading: Reading | None = None) -> Corpus:
    """Read pairs of files whose lines belong together.

    A line that is empty on either side is left out with its partner and counted; the rest never
    shifts.

    Args:
        sources: one file, or several.
        targets: as many, in the same order.
        reading: encoding, longest line and the like.

    Raises:
        DataError: the files of a pair have different numbers of lines: gives both numbers and the
            line from which they probably no longer fit; or a file cannot be read.
    """
    reading = reading or Reading()
    pairs = list(zip(listed(sources), listed(targets), strict=False))
    if len(listed(sources)) != len(listed(targets)):
        raise DataError(
            f"{len(listed(sources))} source files and {len(listed(targets))} target files",
            path=", ".join(listed(sources) + listed(targets)),
            remedy="give the files of both languages in the same order",
        )

    def rows() -> Iterator[Row]:
        for file, (source, target) in enumerate(pairs):
            yield from _paired(source, target, 2 * file, reading)

    return collect(rows(), [path for pair in pairs for path in pair], reading)


def read_text(paths: Files, *, reading: Reading | None = None) -> Corpus:
    """Read plain text: every line that is not empty is an example with a source only."""
    reading = reading or Reading()

    def rows() -> Iterator[Row]:
        for file, path in enumerate(listed(paths)):
            for number, line in read_lines(path, encoding=reading.encoding):
                yield Row(line, None, None, file, number)

    return collect(rows(), listed(paths), reading)


def _paired(source: str, target: str, file: int, reading: Reading) -> Iterator[Row]:
    """Yield the lines of one pair of files, and complain at the end if one was shorter."""
    lengths: list[tuple[int, int]] = []
    lefts = read_lines(source, encoding=reading.encoding)
    rights = read_lines(target, encoding=reading.encoding)
    count = [0, 0]
    for left, right in zip_longest(lefts, rights):
        count = [count[0] + (left is not None), count[1] + (right is not None)]
        lengths.append((len(left[1]) if left else -1, len(right[1]) if right else -1))
        if left and right:
            yield Row(left[1], (right[1],), None, file, left[0])
    if count[0] == count[1]:
        return
    sides = np.array(lengths)
    line = first_misfit(sides[: count[0], 0], sides[: count[1], 1])
    raise DataError(
        f"{count[0]:,} lines, but {target} has {count[1]:,}; judged by the lengths of the lines "
        f"they no longer belong together from line {line:,}",
        path=source,
        line=line,
        remedy="look there for a line that is missing or broken in two",
    )


def first_misfit(source: NDArray[np.int64], target: NDArray[np.int64]) -> int:
    """Where two files of different length come apart, judged by the lengths of their lines alone.

    Lines that belong together have lengths in about the same ratio (Gale and Church 1993). We
    assume that the extra lines stand in one place: up to there line `i` fits line `i`, afterwards
    line `i` fits line `i + shift`. The place with the smallest sum of squared deviations of the log
    ratio wins.

    Args:
        source: characters of each line, `(lines,)`.
        target: the same for the other file, of another length.

    Returns:
        The first line that does not fit, counted from 1.
    """
    shorter, longer = sorted((np.log1p(source), np.log1p(target)), key=len)
    shift = len(longer) - len(shorter)
    if not len(shorter):
        return 1
    aligned, shifted = longer[: len(shorter)] - shorter, longer[shift:] - shorter
    usual = np.median(np.concatenate([aligned, shifted]))
    # A blank line beside a long one is no evidence of a thousand lines: cap what one pair may say.
    costs = [np.minimum((ratio - usual) ** 2, 1.0) for ratio in (aligned, shifted)]
    before = np.concatenate([[0.0], np.cumsum(costs[0])])
    after = np.concatenate([np.cumsum(costs[1][::-1])[::-1], [0.0]])
    return int(np.argmin(before + after)) + 1
