"""Word links: sentence pairs in files, the diagonal baseline, symmetrization."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal

from regard.data.lines import read_lines
from regard.errors import DataError, InputError

__all__ = [
    "Link",
    "SentencePair",
    "Symmetrization",
    "diagonal",
    "read_sentence_pairs",
    "symmetrize",
]

Link = tuple[int, int]
"""(source word, target word), counted from 0."""

SentencePair = tuple[Sequence[str], Sequence[str]]
"""(source words, target words)."""

Symmetrization = Literal["intersection", "union", "grow-diag"]


def read_sentence_pairs(path: str | PathLike[str]) -> list[tuple[list[str], list[str]]]:
    """Read lines of `source words ||| target words`, with words split at white space.

    Raises:
        DataError: a line does not have exactly one `|||`.
    """
    pairs = []
    for number, line in read_lines(path):
        parts = line.split("|||")
        if len(parts) != 2:
            raise DataError(
                f"{len(parts) - 1} separators '|||', expected 1",
                path=path,
                line=number,
                remedy="write each pair as 'source words ||| target words'",
            )
        pairs.append((parts[0].split(), parts[1].split()))
    return pairs


def diagonal(pairs: Sequence[SentencePair]) -> list[set[Link]]:
    """Link target word t to source word t, up to the length of the shorter sentence.

    >>> from regard.evaluation.alignment.links import diagonal
    >>> sorted(diagonal([("a b c".split(), "x y".split())])[0])
    [(0, 0), (1, 1)]
    """
    return [{(t, t) for t in range(min(map(len, pair)))} for pair in pairs]


_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Offsets from a link to its neighbours: edges before corners, since the order decides ties."""


def symmetrize(
    forward: set[Link], backward: set[Link], *, method: Symmetrization = "intersection"
) -> set[Link]:
    """Combine the links of two alignment directions, both written (source, target).

    `"grow-diag"` (Koehn, Och and Marcu 2003, "Statistical Phrase-Based Translation") starts from the
    intersection and adds links of the union that are next to a chosen link, also diagonally, and
    give a word its first link, until there are no more.

    >>> from regard.evaluation.alignment.links import symmetrize
    >>> symmetrize({(0, 0), (1, 1)}, {(0, 0)})
    {(0, 0)}

    Raises:
        InputError: an unknown method.
    """
    both, either = forward & backward, forward | backward
    if method == "intersection":
        return both
    if method == "union":
        return either
    if method != "grow-diag":
        raise InputError(f"method {method!r}; expected 'intersection', 'union' or 'grow-diag'")
    grown = set(both)
    frontier = sorted(grown)
    while frontier:
        source, target = frontier.pop(0)
        for down, right in _NEIGHBOURS:
            link = source + down, target + right
            new_source = all(link[0] != chosen[0] for chosen in grown)
            new_target = all(link[1] != chosen[1] for chosen in grown)
            if link in either and (new_source or new_target):
                grown.add(link)
                frontier.append(link)
    return grown
