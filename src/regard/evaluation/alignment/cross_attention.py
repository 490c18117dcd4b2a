"""Cross-attention read as word alignment, at either of a target word's two steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import InputError, ShapeError
from regard.evaluation.alignment.error_rate import (
    AlignmentScore,
    Gold,
    Link,
    SentencePair,
    alignment_error_rate,
    diagonal,
    ibm_model_1,
)
from regard.models import READINGS, Reading

__all__ = [
    "AlignmentVerdict",
    "CrossAttention",
    "compare_readings",
    "judge_alignment",
    "links_from_attention",
    "merge_pieces",
    "read_at",
    "words_of_pieces",
]


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

    `"input"`: the step where the piece is the decoder's input. `"output"`: the step before, which
    predicts it. Chen et al. (2020, "Accurate Word Alignment Induction from Neural Machine
    Translation") find `"input"` better in Transformers: the other step looks for the piece before
    knowing which it is.
    """
    if reading == "input":
        return attention.weights[1:]
    if reading == "output":
        return attention.weights[:-1]
    raise InputError(f"reading {reading!r}; expected 'input' or 'output'")


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
    """Score the alignment read from cross-attention, once for each of `READINGS`."""
    scores: dict[Reading, AlignmentScore] = {}
    for reading in READINGS:
        links = [
            links_from_attention(
                merge_pieces(read_at(one, reading), one.target_words, one.source_words)
            )
            for one in sentences
        ]
        scores[reading] = alignment_error_rate(links, gold)
    return scores


@dataclass(frozen=True)
class AlignmentVerdict:
    """How far cross-attention can be read as word alignment.

    Attributes:
        sentence: in words, to stand beside every view.
        pairs: how many sentence pairs were scored.
        layers: first layer first, the mean over heads at both readings.
        diagonal: and `model_1`: what is to be had without attention, on the same pairs.
    """

    sentence: str
    pairs: int
    layers: tuple[Mapping[Reading, AlignmentScore], ...]
    diagonal: AlignmentScore
    model_1: AlignmentScore

    def __str__(self) -> str:
        lines = [self.sentence, "", f"{self.pairs} sentence pairs"]
        for n, scores in enumerate(self.layers, start=1):
            for reading, score in scores.items():
                lines.append(f"layer {n}, where the word is {reading:6} {score}")
        lines.append(f"{'diagonal':33} {self.diagonal}")
        lines.append(f"{'IBM Model 1, on these pairs':33} {self.model_1}")
        return "\n".join(lines)


def judge_alignment(
    layers: Sequence[Sequence[CrossAttention]],
    pairs: Sequence[SentencePair],
    gold: Sequence[Gold],
) -> AlignmentVerdict:
    """Score every layer at both readings, beside the diagonal and IBM Model 1.

    Args:
        layers: for each layer the cross-attention of every sentence.
        pairs: (source words, target words) of each pair.
        gold: what people linked.
    """
    scores = tuple(compare_readings(sentences, gold) for sentences in layers)
    line, counts = (
        alignment_error_rate(links, gold) for links in (diagonal(pairs), ibm_model_1(pairs))
    )
    error, layer, reading = min(
        (score.error_rate, n, reading)
        for n, by_reading in enumerate(scores, start=1)
        for reading, score in by_reading.items()
    )
    against = (
        f"its best layer ({layer}, where words are the decoder's {reading}) has an error rate of "
        f"{100 * error:.1f}, the diagonal {100 * line.error_rate:.1f}, IBM Model 1 "
        f"{100 * counts.error_rate:.1f}"
    )
    if error >= line.error_rate:
        sentence = f"Do not read this as word alignment: {against}."
    elif error >= counts.error_rate:
        sentence = f"Read this as word alignment with care: {against}."
    else:
        sentence = f"This can be read as word alignment: {against}."
    return AlignmentVerdict(sentence, len(pairs), scores, line, counts)
