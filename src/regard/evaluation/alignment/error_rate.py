"""Which source word does each target word come from, and how far attention agrees with people.

A word alignment is a set of links `(source, target)`, counted from 0 here and from 1 in files.
Annotators mark *sure* links S and *possible* ones P (S is part of P). Predicted links A are scored
(Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models") by

    precision = |A & P| / |A|        recall = |A & S| / |S|
    alignment error rate = 1 - (|A & S| + |A & P|) / (|A| + |S|)

summed over the corpus before dividing. Lower is better; 0 is perfect. Two lines to hold any
alignment against: `diagonal` (word t from word t) and `ibm_model_1` (co-occurrence counts alone).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from regard.errors import DataError, InputError, ShapeError

__all__ = [
    "AlignmentScore",
    "Gold",
    "Link",
    "SentencePair",
    "Symmetry",
    "alignment_error_rate",
    "diagonal",
    "ibm_model_1",
    "parse_gold",
    "read_gold",
    "read_sentence_pairs",
    "symmetrize",
]

Link = tuple[int, int]
"""(source word, target word), counted from 0."""

Symmetry = Literal["intersection", "union", "grow-diag"]
SentencePair = tuple[Sequence[str], Sequence[str]]


class Gold(NamedTuple):
    """Links people drew for one sentence pair; `possible` contains `sure`."""

    sure: frozenset[Link]
    possible: frozenset[Link]


@dataclass(frozen=True)
class AlignmentScore:
    """How predicted links compare with gold, as shares between 0 and 1.

    Attributes:
        error_rate: alignment error rate; lower is better.
        precision: share of predicted links that are at least possible.
        recall: share of sure links that were predicted.
        links: how many links were predicted in the whole corpus.
    """

    error_rate: float
    precision: float
    recall: float
    links: int

    def __str__(self) -> str:
        return (
            f"AER {100 * self.error_rate:.1f} (precision {100 * self.precision:.1f}, "
            f"recall {100 * self.recall:.1f}, {self.links} links)"
        )


# Files


def parse_gold(line: str) -> Gold:
    """Read one line of Pharaoh / NAACL 2003 links: `i-j` sure, `ipj` possible, counted from 1.

    >>> parse_gold("1-1 3p2").sure, sorted(parse_gold("1-1 3p2").possible)
    (frozenset({(0, 0)}), [(0, 0), (2, 1)])

    Raises:
        InputError: an item that is not a link.
    """
    sure: set[Link] = set()
    possible: set[Link] = set()
    for item in line.split():
        match = re.fullmatch(r"([1-9]\d*)([-p])([1-9]\d*)", item)
        if match is None:
            raise InputError(
                f"{item!r} is not a link; expected 'i-j' (sure) or 'ipj' (possible), from 1"
            )
        link = int(match[1]) - 1, int(match[3]) - 1
        possible.add(link)
        if match[2] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))


def read_gold(path: str | PathLike[str]) -> list[Gold]:
    """Read a file of gold links, one sentence pair a line.

    Raises:
        DataError: a line that holds something else, with its number.
    """
    gold = []
    lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            gold.append(parse_gold(line))
        except InputError as error:
            raise DataError(str(error), path=path, line=number) from None
    return gold


def read_sentence_pairs(path: str | PathLike[str]) -> list[tuple[list[str], list[str]]]:
    """Read `source words ||| target words` lines, words split at spaces.

    Raises:
        DataError: a line without exactly one `|||`.
    """
    pairs = []
    lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
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


# Scores


def alignment_error_rate(
    predicted: Sequence[frozenset[Link] | set[Link]], gold: Sequence[Gold]
) -> AlignmentScore:
    """Score predicted links against gold, summed over the corpus (Och and Ney 2003).

    Raises:
        ShapeError: different numbers of sentence pairs.
    """
    if len(predicted) != len(gold):
        raise ShapeError(
            f"{len(predicted)} predicted alignments for {len(gold)} gold ones; "
            "give one set of links per sentence pair, empty where there is none"
        )
    in_sure = sum(len(links & answer.sure) for links, answer in zip(predicted, gold, strict=True))
    in_possible = sum(
        len(links & answer.possible) for links, answer in zip(predicted, gold, strict=True)
    )
    links = sum(map(len, predicted))
    sure = sum(len(answer.sure) for answer in gold)
    return AlignmentScore(
        error_rate=1 - (in_sure + in_possible) / max(links + sure, 1),
        precision=in_possible / max(links, 1),
        recall=in_sure / max(sure, 1),
        links=links,
    )


# Baselines


def diagonal(pairs: Sequence[SentencePair]) -> list[set[Link]]:
    """Word t comes from word t, as far as the shorter sentence goes.

    >>> sorted(diagonal([("a b c".split(), "x y".split())])[0])
    [(0, 0), (1, 1)]
    """
    return [{(t, t) for t in range(min(map(len, pair)))} for pair in pairs]


def ibm_model_1(
    pairs: Sequence[SentencePair],
    *,
    iterations: int = 7,
    lowercase: bool = True,
    symmetry: Symmetry = "intersection",
) -> list[set[Link]]:
    """Align by IBM Model 1 (Brown et al. 1993), trained on the pairs it aligns.

    Each target word f_j is produced by one source word, or by an empty word, all positions being
    equally likely: p(f | e) = prod_j sum_i t(f_j | e_i) / (l + 1). Expectation-maximisation
    from uniform t; each direction links every target word to its likeliest source, and the two
    directions are then combined.

    Args:
        pairs: (source words, target words) of each pair.
        iterations: rounds of expectation-maximisation.
        lowercase: count `The` and `the` together.
        symmetry: how to combine the directions, see `symmetrize`.
    """
    if lowercase:
        pairs = [([w.lower() for w in e], [w.lower() for w in f]) for e, f in pairs]
    forward = _model_1_one_way(pairs, iterations)
    backward = _model_1_one_way([(target, source) for source, target in pairs], iterations)
    return [
        symmetrize(ahead, {(source, target) for target, source in back}, method=symmetry)
        for ahead, back in zip(forward, backward, strict=True)
    ]


def _model_1_one_way(pairs: Sequence[SentencePair], iterations: int) -> list[set[Link]]:
    """Link each target word to its likeliest source word, or to none."""
    kinds: dict[tuple[str | None, str], int] = {}  # (source word, target word) seen together
    sources: dict[str | None, int] = {None: 0}  # None is the empty word
    kind_of, slot_of, places = [], [], []  # one entry per cell of every (source x target) grid
    slots = 0
    for number, (source, target) in enumerate(pairs):
        for t, word in enumerate(target):
            for s, other in enumerate([*source, None]):
                sources.setdefault(other, len(sources))
                kind_of.append(kinds.setdefault((other, word), len(kinds)))
                slot_of.append(slots)
                places.append((number, s, t))
            slots += 1
    kind, slot = np.array(kind_of, dtype=np.int64), np.array(slot_of, dtype=np.int64)
    source_of_kind = np.array([sources[word] for word, _ in kinds], dtype=np.int64)

    translation = np.ones(len(kinds))
    for _ in range(iterations):
        share = translation[kind] / np.bincount(slot, translation[kind])[slot]
        count = np.bincount(kind, share, minlength=len(kinds))
        translation = count / np.bincount(source_of_kind, count)[source_of_kind]

    links: list[set[Link]] = [set() for _ in pairs]
    starts = np.flatnonzero(np.diff(slot, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(slot)], strict=True):
        number, s, t = places[start + int(np.argmax(translation[kind[start:end]]))]
        if s < len(pairs[number][0]):
            links[number].add((s, t))
    return links


_EDGES_THEN_CORNERS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrize(
    forward: set[Link], backward: set[Link], *, method: Symmetry = "intersection"
) -> set[Link]:
    """Combine links found in each direction, both written (source, target).

    `"grow-diag"` (Koehn, Och and Marcu 2003) starts from the intersection and adds, while it can,
    links of the union that touch a chosen one (also by a corner) and give a word its first link.
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
        for down, right in _EDGES_THEN_CORNERS:
            link = source + down, target + right
            new_source = all(link[0] != chosen[0] for chosen in grown)
            new_target = all(link[1] != chosen[1] for chosen in grown)
            if link in either and (new_source or new_target):
                grown.add(link)
                frontier.append(link)
    return grown
