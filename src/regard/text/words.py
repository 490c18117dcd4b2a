"""Find the words of a text, so that pieces of a tokenizer can be merged to words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from regard.text.normalize import Span

__all__ = ["WORDS", "detokenize", "space_separated_spans", "word_ids", "word_spans"]

_RUN = r"[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*"
WORDS = Split(
    Regex(rf"{_RUN}(?:(?:[-'’]|(?<=\p{{N}})[.,:](?=\p{{N}})){_RUN})*|\S\p{{M}}*"),
    behavior="removed",
    invert=True,
)
"""Finds words: runs of letters and digits with inner hyphens and apostrophes (`T-Shirt`, `don't`),
numbers with their inner marks (`3.5`, `12:30`), and every other sign by itself."""


def word_spans(text: str) -> list[Span]:
    """The spans of the words of `text`.

    >>> text = "Don't pay $3.50 (really)!"
    >>> [text[a:b] for a, b in word_spans(text)]
    ["Don't", 'pay', '$', '3.50', '(', 'really', ')', '!']
    """
    return [span for _, span in WORDS.pre_tokenize_str(text)]


def space_separated_spans(text: str) -> list[Span]:
    """The spans of the words of a text that is tokenized already, with spaces between its words.

    Files of word alignments are of this kind: their links count such words.

    >>> space_separated_spans("Don't pay $3.50")
    [(0, 5), (6, 9), (10, 15)]
    """
    return [match.span() for match in re.finditer(r"\S+", text)]


def word_ids(offsets: Sequence[Span], words: Sequence[Span]) -> list[int]:
    """The index of the word in which each piece begins; a piece between words belongs to the next word.

    Args:
        offsets: spans of the pieces, in order.
        words: spans of the words, in order, from `word_spans` or `space_separated_spans`.

    >>> word_ids([(0, 3), (3, 5), (6, 9)], [(0, 5), (6, 9)])
    [0, 0, 1]
    """
    starts = [start for start, _ in words]
    ids = []
    for start, _ in offsets:
        word = max(bisect_right(starts, start) - 1, 0)
        between = start >= words[word][1] and word + 1 < len(words)
        ids.append(word + 1 if between else word)
    return ids


CLOSING = frozenset(".,!?;:%)]}…’、。，！？；：）」』")
OPENING = frozenset("([{‘¿¡（「『")
QUOTES = {"„": "“”", "“": "”", "«": "»", "»": "«", '"': '"', "'": "'"}
"""Opening quotation mark -> marks that may close it; languages differ, so the open one decides."""


def detokenize(words: Sequence[str]) -> str:
    r"""Join words as people write them.

    No space before closing signs and after opening ones; quotation marks open and close in turn.

    >>> detokenize(["\"", "Hello", ",", "\"", "said", "she", "(", "a", "cook", ")", "."])
    '"Hello," said she (a cook).'
    """
    text = ""
    glue = True  # true if the next word follows without a space
    closers: list[str] = []
    for word in words:
        if closers and word in closers[-1]:
            closers.pop()
            text, glue = text + word, False
            continue
        text += word if glue or word in CLOSING else " " + word
        glue = word in OPENING or word in QUOTES
        if word in QUOTES:
            closers.append(QUOTES[word])
    return text
