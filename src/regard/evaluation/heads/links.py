"""Agreement of heads with given links between words: syntax in a text, alignment between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIRECTIONS", "MAX_OFFSET", "LinkSums", "link_sums", "word_weights"]

DIRECTIONS = ("links", "links_reversed")
"""From the first word of a link `i-j` to the second, and back."""

MAX_OFFSET = 10
"""Largest relative position, in words, that the baseline of a fixed position tries."""


@dataclass(frozen=True)
class LinkSums:
    """Sums over the linked words of one text, by direction.

    Attributes:
        total: `(directions, heads)`, words whose strongest other word is linked to them.
        count: `(directions,)`, words that have a link.
        by_offset: `(directions, 2 * MAX_OFFSET + 1)`, words that are linked to the word at a relative position,
            from `-MAX_OFFSET` on.
    """

    total: NDArray[np.float64]
    count: NDArray[np.float64]
    by_offset: NDArray[np.float64]

    @staticmethod
    def of_heads(parts: Sequence[LinkSums]) -> LinkSums:
        """Sums of the heads of several layers on one text, together."""
        total = np.concatenate([part.total for part in parts], axis=1)
        return LinkSums(total, parts[0].count, parts[0].by_offset)


def word_weights(
    weights: NDArray[np.floating],
    query_words: Sequence[int],
    key_words: Sequence[int],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Weights between words: summed over the tokens of a key word, averaged over those of a query word.

    Args:
        weights: `(heads, queries, keys)`.
        query_words: word of each query token; -1 for none, which is left out.
        key_words: word of each key token; -1 for none.
        shape: numbers of query words and key words.
    """
    rows, columns = (
        (np.arange(count)[:, None] == np.asarray(words)).astype(np.float64)
        for count, words in zip(shape, (query_words, key_words), strict=True)
    )
    rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1)
    merged: NDArray[np.float64] = rows @ weights.astype(np.float64) @ columns.T
    return merged


def link_sums(
    weights: NDArray[np.float64], links: Mapping[int, Sequence[int]], *, is_self: bool
) -> LinkSums:
    """Count the words whose strongest other word is linked to them (Clark et al. 2019, section 4.2).

    Args:
        weights: `(heads, query words, key words)`, from `word_weights`.
        links: key words by query word: those of `i-j` as `{i: [j]}`.
        is_self: whether query and key words are the same text; a word is then no answer to itself, and links
            are also followed backwards.
    """
    heads, queries, keys = weights.shape
    forward = np.zeros((queries, keys), dtype=bool)
    for query, linked in links.items():
        forward[query, list(linked)] = True
    linked_keys = [forward, forward.T if is_self else np.zeros((queries, keys), dtype=bool)]
    if is_self:
        weights = weights.copy()
        weights[:, np.arange(queries), np.arange(queries)] = -1.0
        forward[np.arange(queries), np.arange(queries)] = False
    strongest = weights.argmax(axis=2)
    total, count = np.zeros((2, heads)), np.zeros(2)
    by_offset = np.zeros((2, 2 * MAX_OFFSET + 1))
    for row, pairs in enumerate(linked_keys):
        words = np.flatnonzero(pairs.any(axis=1))
        count[row] = len(words)
        total[row] = pairs[words, strongest[:, words]].sum(axis=1)
        offset = np.subtract(*np.nonzero(pairs)[::-1])
        near = offset[np.abs(offset) <= MAX_OFFSET]
        np.add.at(by_offset[row], near + MAX_OFFSET, 1)
    return LinkSums(total, count, by_offset)
