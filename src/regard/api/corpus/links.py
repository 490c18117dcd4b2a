"""Given links between the words of a corpus, line by line beside its texts."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

import numpy as np

from regard.api.corpus.attention import AxisTokens, Site
from regard.data.lines import read_lines
from regard.errors import DataError, InputError
from regard.evaluation.alignment.gold import parse_gold
from regard.evaluation.heads.links import LinkSums, link_sums, word_weights
from regard.text.words import space_separated_spans, word_ids

__all__ = ["WordLinks", "link_sums_of", "stream_links"]

MAX_LINKED_TOKENS = 1024
"""Tokens of the longest text whose links are measured: its maps are merged to words as a whole."""

WordLinks = frozenset[tuple[int, int]]
"""Links `(i, j)` of one text, words counted from 0."""


def stream_links(path: str | PathLike[str]) -> Iterator[WordLinks]:
    """Yield the links of each line, `i-j` between words that spaces separate, counted from 0.

    Raises:
        DataError: something else in a line.
    """
    for number, line in read_lines(path):
        try:
            yield parse_gold(line, first=0).possible
        except InputError as error:
            raise DataError(str(error), path=path, line=number) from None


def link_sums_of(site: Site, text: int, links: WordLinks) -> LinkSums | None:
    """Agreement of all heads with the links of one text.

    Links are between words of one text for self-attention, where word `i` depends on word `j`; for
    cross-attention they align word `i` of the source with word `j` of the target. Links of words that the
    network does not read are left out.

    Returns:
        The sums; `None` for a text that is too long to be merged to words.

    Raises:
        InputError: a link to a word that the text does not have.
    """
    queries, keys = site.queries[text], site.keys[text]
    if max(len(queries), len(keys)) > MAX_LINKED_TOKENS:
        return None
    (rows, of_queries), (columns, of_keys) = (_words(side) for side in (queries, keys))
    by_query: dict[int, list[int]] = {}
    for first, second in sorted(links):
        query, key = (second, first) if site.name == "cross" else (first, second)
        if query >= of_queries or key >= of_keys:
            raise InputError(
                f"link {first}-{second} is of a word that the text does not have: it has {of_keys} words "
                f"({'source' if site.name == 'cross' else 'separated by spaces, counted from 0'})"
                + (f" and {of_queries} (target)" if site.name == "cross" else "")
            )
        if query in rows and key in columns:
            by_query.setdefault(query, []).append(key)
    parts = []
    for layer in range(len(site.layers)):
        tiles = site.tiles(range(layer, layer + 1), text)
        weights = np.concatenate([part for _, part in tiles], axis=1)
        merged = word_weights(weights, rows, columns, (of_queries, of_keys))
        parts.append(link_sums(merged, by_query, is_self=site.is_self))
    return parts[0].of_heads(parts)


def _words(side: AxisTokens) -> tuple[list[int], int]:
    """Word of each token, -1 for special ones; and the number of words."""
    spans = space_separated_spans(side.tokens.text)
    if not spans:
        return [-1] * len(side), 0
    words = word_ids(side.tokens.offsets, spans)
    return [
        -1 if special else word for word, special in zip(words, side.tokens.special, strict=True)
    ], len(spans)
