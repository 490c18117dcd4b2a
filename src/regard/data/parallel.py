"""Parallel text: line `i` of one file is the translation of line `i` of the other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from regard.data.collect import Row, collect
from regard.data.corpus import Corpus
from regard.data.datasets import Files, resolve_files
from regard.data.lines import LINE_FEEDS, read_lines
from regard.data.options import ReadOptions
from regard.errors import DataError

__all__ = ["first_mismatch", "pieces_of", "read_parallel", "read_text"]

LONGEST_LINE = 20_000
"""Characters of a line that is still taken for one text."""

PIECE = 500
"""Characters of a piece of a longer one: about a paragraph, well below `max_tokens` of every preset."""


def read_parallel(sources: Files, targets: Files, *, options: ReadOptions | None = None) -> Corpus:
    """Read pairs of files whose lines belong together.

    A pair with an empty side is left out and counted; no later pair shifts.

    Args:
        sources: one file, or several.
        targets: one for each source file, in the same order.
        options: encoding, longest line and more.

    Raises:
        DataError: the files of a pair have different numbers of lines: the message gives
            both numbers and the line where they probably come apart; or a file cannot be read.
    """
    options = options or ReadOptions()
    left, right = resolve_files(sources), resolve_files(targets)
    if len(left) != len(right):
        raise DataError(
            f"{len(left)} source files and {len(right)} target files, expected as many",
            path=", ".join(left + right),
            remedy="give the files of both languages in the same order",
        )
    pairs = list(zip(left, right, strict=True))

    def rows() -> Iterator[Row]:
        for file, (source, target) in enumerate(pairs):
            yield from _paired(source, target, 2 * file, options)

    return collect(rows(), [path for pair in pairs for path in pair], options)


def read_text(paths: Files, *, options: ReadOptions | None = None) -> Corpus:
    """Read plain text: every line that is not empty is an example with a source only.

    A corpus that is one line is cut into pieces at spaces, and so is any line of more than 20,000 characters.
    """
    options = options or ReadOptions()
    files = resolve_files(paths)
    notes: list[str] = []

    def rows() -> Iterator[Row]:
        for file, path in enumerate(files):
            lines = read_lines(path, encoding=options.encoding)
            first, second = next(lines, None), next(lines, None)
            if first is None:
                raise DataError("an empty file", path=path)
            known = filter(None, (first, second))
            for number, line in chain(known, lines):
                if second is not None and len(line) <= LONGEST_LINE:
                    yield Row(line, None, None, file, number)
                    continue
                pieces = list(pieces_of(line))
                yield from (Row(piece, None, None, file, number) for piece in pieces)
                if len(pieces) > 1:
                    notes.append(f"{path}:{number}: one long line, cut into {len(pieces):,} pieces")

    return collect(rows(), files, options, notes=notes)


def pieces_of(line: str, limit: int = PIECE) -> Iterator[str]:
    """Cut a line at spaces into pieces of at most `limit` characters; a longer word is cut, too."""
    start = 0
    while len(line) - start > limit:
        end = line.rfind(" ", start, start + limit + 1)
        end = start + limit if end <= start else end
        yield line[start:end]
        start = end + (line[end] == " ")
    yield line[start:]


def _paired(source: str, target: str, file: int, options: ReadOptions) -> Iterator[Row]:
    """Yield the pairs of lines of two files; raises at the end if one was shorter."""
    lengths = (array("q"), array("q"))
    remedy = ""
    lefts = read_lines(source, encoding=options.encoding)
    rights = read_lines(target, encoding=options.encoding)
    for left, right in zip_longest(lefts, rights):
        for path, side, line in zip((source, target), lengths, (left, right), strict=True):
            if line is not None:
                side.append(len(line[1]))
                if not remedy and "\r" in line[1]:
                    remedy = f"there is a carriage return inside {path}:{line[0]}: {LINE_FEEDS}"
        if left and right:
            yield Row(left[1], (right[1],), None, file, left[0])
    count = [len(side) for side in lengths]
    for path, lines in zip((source, target), count, strict=True):
        if not lines:
            raise DataError("an empty file", path=path)
    if count[0] == count[1]:
        return
    mismatch = first_mismatch(np.array(lengths[0]), np.array(lengths[1]))
    raise DataError(
        f"{count[0]:,} lines, but {target} has {count[1]:,}; judged by the lengths of the lines "
        f"they no longer belong together from line {mismatch:,}",
        path=source,
        line=mismatch,
        remedy=remedy or "look there for a line that is missing or broken in two",
    )


def first_mismatch(source: NDArray[np.int64], target: NDArray[np.int64]) -> int:
    """Estimate where two files of different length come apart, from the lengths of their lines.

    Lines that belong together have lengths in about the same ratio (Gale and Church 1993). We
    assume that the extra lines form one gap: before it line `i` matches line `i`, after it line `i`
    matches line `i + shift`. The estimate minimises the sum of squared deviations of the log ratio.

    Args:
        source: characters of each line, `(lines,)`.
        target: characters of each line of the other file, of another length.

    Returns:
        The first line that does not match, counted from 1.
    """
    shorter, longer = sorted((np.log1p(source), np.log1p(target)), key=len)
    shift = len(longer) - len(shorter)
    if not len(shorter):
        return 1
    aligned, shifted = longer[: len(shorter)] - shorter, longer[shift:] - shorter
    usual = np.median(np.concatenate([aligned, shifted]))
    # A blank line beside a long one would outweigh hundreds of pairs: the cost of one pair is capped.
    costs = [np.minimum((ratio - usual) ** 2, 1.0) for ratio in (aligned, shifted)]
    before = np.concatenate([[0.0], np.cumsum(costs[0])])
    after = np.concatenate([np.cumsum(costs[1][::-1])[::-1], [0.0]])
    return int(np.argmin(before + after)) + 1
