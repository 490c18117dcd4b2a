"""Word links from cross-attention: from pieces to words, from weights to links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import ShapeError
from regard.evaluation.alignment.links import Link
from regard.models import Reading, check_reading
from regard.text import space_separated_spans, word_ids

__all__ = [
    "CrossAttention",
    "links_from_attention",
    "merge_pieces",
    "word_membership",
    "words_of_pieces",
]


@dataclass(frozen=True)
class CrossAttention:
    """Cross-attention of one sentence pair, between pieces.

    Attributes:
        weights: `(steps, source pieces)`. Step s has target piece s - 1 as its input (BOS at step 0)
            and target piece s as its output (EOS at the last step), so steps = target pieces + 1.
        source_words: word index of each source piece, from 0; -1 for special tokens.
        target_words: word index of each target piece, without BOS and EOS; -1 for special tokens.

    Raises:
        ShapeError: weights of another shape.
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

    def aligned_at(self, reading: Reading) -> NDArray[np.floating]:
        """Return the row of each target piece at one of its two steps.

        `"output"` is the step where the piece is the decoder's output, `"input"` the step after it,
        where the piece is the input (Chen et al. 2020, "Accurate Word Alignment Induction from
        Neural Machine Translation").

        Returns:
            `(target pieces, source pieces)`.

        Raises:
            InputError: another reading.
        """
        return self.weights[:-1] if check_reading(reading) == "output" else self.weights[1:]

    def links(self, reading: Reading) -> set[Link]:
        """Return the word links at one reading; see `links_from_attention`."""
        pieces = self.aligned_at(reading)
        return links_from_attention(merge_pieces(pieces, self.target_words, self.source_words))


def words_of_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the index of the word of each piece; -1 for pieces of white space only.

    Words are separated by white space, as in files of gold links. A piece that starts with spaces
    belongs to the word after them.

    >>> from regard.evaluation.alignment.cross_attention import words_of_pieces
    >>> words_of_pieces("the cats", [(0, 0), (0, 3), (3, 7), (7, 8)])
    [-1, 0, 1, 1]

    Args:
        text: the text the pieces come from.
        offsets: (start, end) of each piece in `text`, in characters.
    """
    visible = [bool(text[start:end].strip()) for start, end in offsets]
    ids = iter(word_ids(list(compress(offsets, visible)), space_separated_spans(text)))
    return [next(ids) if is_visible else -1 for is_visible in visible]


def merge_pieces(
    weights: ArrayLike, target_words: Sequence[int], source_words: Sequence[int]
) -> NDArray[np.float64]:
    """Merge attention between pieces to attention between words: sum over keys, mean over queries.

    Args:
        weights: `(target pieces, source pieces)`.
        target_words: word index of each target piece, from 0; pieces with -1 are left out.
        source_words: word index of each source piece. The weight of pieces with -1 is dropped, not
            given to other pieces.

    Returns:
        `(target words, source words)`.

    Raises:
        ShapeError: weights of another shape.
    """
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (len(target_words), len(source_words)):
        raise ShapeError(
            f"weights of shape {matrix.shape} for {len(target_words)} target and "
            f"{len(source_words)} source pieces"
        )
    into_target, into_source = word_membership(target_words), word_membership(source_words)
    pieces = np.maximum(into_target.sum(0), 1)
    merged: NDArray[np.float64] = into_target.T @ matrix @ into_source / pieces[:, None]
    return merged


def word_membership(words: Sequence[int]) -> NDArray[np.float64]:
    """Matrix `(pieces, words)` with 1 where a piece belongs to a word."""
    columns = np.arange(max(words, default=-1) + 1)
    belongs = np.asarray(words)[:, None] == columns
    return np.asarray(belongs, dtype=np.float64)


def links_from_attention(weights: ArrayLike) -> set[Link]:
    """Link each target word to the source word with the largest weight.

    A target word without any weight gets no link.

    >>> from regard.evaluation.alignment.cross_attention import links_from_attention
    >>> sorted(links_from_attention([[0.2, 0.8], [0.9, 0.1]]))
    [(0, 1), (1, 0)]

    Args:
        weights: `(target words, source words)`.

    Raises:
        ShapeError: weights without two axes.
    """
    matrix = np.asarray(weights)
    if matrix.ndim != 2:
        raise ShapeError(f"weights of shape {matrix.shape}, expected (target, source)")
    if matrix.size == 0:
        return set()
    best = matrix.argmax(1)
    return {(int(best[t]), t) for t in range(len(best)) if matrix[t, best[t]] > 0}
