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
from numpy.typing import ArrayLike, NDArray

from regard.errors import DataError, InputError, ShapeError

__all__ = [
    "AlignmentScore",
    "CrossAttention",
    "Gold",
    "Link",
    "alignment_error_rate",
    "compare_readings",
    "diagonal",
    "ibm_model_1",
    "links_from_attention",
    "merge_pieces",
    "parse_gold",
    "read_at",
    "read_gold",
    "read_sentence_pairs",
    "symmetrize",
    "words_of_pieces",
]

Link = tuple[int, int]
"""(source word, target word), counted from 0."""

Reading = Literal["enters", "leaves"]
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


# Alignment from attention


@dataclass(frozen=True)
class CrossAttention:
    """Cross-attention of one translated sentence, as the decoder gave it.

    Attributes:
        weights: (steps, source pieces). Step s reads target piece s-1 (step 0 reads BOS) and
            writes target piece s; the last step writes EOS. So steps = target pieces + 1.
        source_words: for each source piece its word, from 0; -1 for special tokens.
        target_words: the same for each target piece, without BOS and EOS.
    """

    weights: NDArray[np.floating]
    source_words: Sequence[int]
    target_words: Sequence[int]

    def __post_init__(self) -> None:
        expected = len(self.target_words) + 1, len(self.source_words)
        if self.weights.shape != expected:
            raise ShapeError(
                f"cross-attention of shape {self.weights.shape}, expected (target pieces + 1, "
                f"source pieces) = {expected}; keep the step that writes the end of sentence"
            )


def read_at(attention: CrossAttention, reading: Reading) -> NDArray[np.floating]:
    """(target pieces, source pieces): the row of each target piece at one of its two steps.

    `"enters"`: the step where the piece enters the decoder as its input. `"leaves"`: the step
    before, where it is written. In a Transformer the first is the better alignment: the second
    looks for what to say next before knowing what that is (Chen et al. 2020, "Accurate Word
    Alignment Induction from Neural Machine Translation").
    """
    if reading == "enters":
        return attention.weights[1:]
    if reading == "leaves":
        return attention.weights[:-1]
    raise InputError(f"reading {reading!r}; expected 'enters' or 'leaves'")


def words_of_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Say which space-separated word of `text` each piece belongs to; -1 for empty pieces.

    A piece that starts with spaces belongs to the word after them.

    >>> words_of_pieces("the cats", [(0, 0), (0, 3), (3, 7), (7, 8)])
    [-1, 0, 1, 1]
    """
    starts = np.array([match.start() for match in re.finditer(r"\S+", text)], dtype=np.int64)
    words = []
    for start, end in offsets:
        piece = text[start:end]
        visible = start + len(piece) - len(piece.lstrip())
        words.append(-1 if visible >= end else int(np.searchsorted(starts, visible, "right")) - 1)
    return words


def merge_pieces(
    weights: ArrayLike, target_words: Sequence[int], source_words: Sequence[int]
) -> NDArray[np.float64]:
    """Attention between words from attention between pieces: sum over keys, mean over queries.

    Args:
        weights: (target pieces, source pieces).
        target_words: for each target piece its word, from 0; pieces with -1 are left out.
        source_words: the same for the source. What went to left-out pieces is not given to others.

    Returns:
        (target words, source words).
    """
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (len(target_words), len(source_words)):
        raise ShapeError(
            f"weights of shape {matrix.shape} for {len(target_words)} target and "
            f"{len(source_words)} source pieces"
        )
    into_target, into_source = _membership(target_words), _membership(source_words)
    pieces = np.maximum(into_target.sum(0), 1)
    merged: NDArray[np.float64] = into_target.T @ matrix @ into_source / pieces[:, None]
    return merged


def _membership(words: Sequence[int]) -> NDArray[np.float64]:
    """Ones where a piece (row) belongs to a word (column)."""
    columns = np.arange(max(words, default=-1) + 1)
    belongs = np.asarray(words)[:, None] == columns
    return np.asarray(belongs, dtype=np.float64)


def links_from_attention(weights: ArrayLike) -> set[Link]:
    """Link each target word to the source word it attends to most.

    Args:
        weights: (target words, source words). A target word with no weight gets no link.
    """
    matrix = np.asarray(weights)
    if matrix.ndim != 2:
        raise ShapeError(f"weights of shape {matrix.shape}, expected (target, source)")
    if matrix.size == 0:
        return set()
    best = matrix.argmax(1)
    return {(int(best[t]), t) for t in range(len(best)) if matrix[t, best[t]] > 0}


def compare_readings(
    sentences: Sequence[CrossAttention], gold: Sequence[Gold]
) -> dict[Reading, AlignmentScore]:
    """Score the cross-attention read where words enter the decoder beside where they leave it."""
    scores: dict[Reading, AlignmentScore] = {}
    readings: tuple[Reading, ...] = ("enters", "leaves")
    for reading in readings:
        links = [
            links_from_attention(
                merge_pieces(read_at(one, reading), one.target_words, one.source_words)
            )
            for one in sentences
        ]
        scores[reading] = alignment_error_rate(links, gold)
    return scores
