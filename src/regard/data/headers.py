"""Tell a header, the names of columns, from a first row of values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

__all__ = ["USUAL_NAMES", "USUAL_PAIRS", "header_hint", "header_like", "names_languages"]

USUAL_NAMES = {
    "text": [
        *("text", "sentence", "review", "document", "content", "body", "question", "source"),
        *("src", "article"),
    ],
    "label": ["label", "labels", "class", "category", "sentiment", "topic", "intent", "rating"],
    "source": ["source", "src", "document", "article", "text", "content", "body"],
    "target": ["target", "tgt", "summary", "highlights", "translation"],
}
USUAL_PAIRS = (
    *(("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2")),
    *(
        ("sentence_a", "sentence_b"),
        ("text1", "text2"),
        ("text_a", "text_b"),
        ("text", "text_pair"),
    ),
    *(("query", "passage"), ("question", "answer"), ("question", "sentence")),
)
"""Columns of two texts that are read together, as data sets of pairs call them."""


def names_languages(head: Sequence[Sequence[str]]) -> bool:
    """True if the first row names two languages, and no other row does."""
    known = _languages()

    def both(row: Sequence[str]) -> bool:
        cells = [re.split(r"[-_]", cell.strip().lower())[0] for cell in row]
        return len({*cells}) == 2 and known.issuperset(cells)

    return both(head[0]) and not any(both(row) for row in head[1:])


@cache
def _languages() -> frozenset[str]:
    """Codes and English names of languages, in small letters."""
    from babel import Locale

    languages = Locale("en").languages
    return frozenset(word.lower() for pair in languages.items() for word in pair)


def header_hint(head: Sequence[Sequence[str]], options: Mapping[str, int]) -> str:
    """A hint that the first row, read as an example, may be a header; empty if nothing speaks for it.

    Args:
        head: the first rows.
        options: option of the command line -> position of the column that it would name, the text first.
    """
    if len(head) < 3:
        return ""
    first = [cell.strip() for cell in head[0]]
    rows = [row for row in head[1:] if len(row) == len(first)]
    text = next(iter(options.values()))
    words = all(re.fullmatch(r"[^\W\d][\w-]{1,29}( [\w-]{1,29}){0,2}", cell) for cell in first)
    again = any(cell.strip() == first[i] for row in rows for i, cell in enumerate(row))
    if not words or again or sum(len(row[text]) for row in rows) < 2 * len(rows) * len(first[text]):
        return ""
    named = " ".join(f"{option} {first[index]!r}" for option, index in options.items())
    shown = ", ".join(map(repr, first))
    return f"; line 1 ({shown}) is read as an example: if it is a header, name its columns: {named}"


def header_like(rows: Sequence[Sequence[str]]) -> bool:
    """True if the first row looks like a header: usual names, languages, or short names that never come again.

    A guess, for `regard data`; readers take a first row for a header on surer signs.
    """
    if len(rows) < 2:
        return False
    first = [cell.strip() for cell in rows[0]]
    usual = {name for names in USUAL_NAMES.values() for name in names}
    if any(cell.lower() in usual for cell in first) or names_languages(rows):
        return True
    body = [row for row in rows[1:] if len(row) == len(first)]
    names = all(re.fullmatch(r"[^\W\d][\w .-]{0,29}", cell) for cell in first)
    again = any(cell.strip() == first[i] for row in body for i, cell in enumerate(row))
    repeats = any(len({row[i] for row in body}) <= len(body) / 2 for i in range(len(first)))
    return bool(body) and names and not again and (repeats or len(first) > 2)
