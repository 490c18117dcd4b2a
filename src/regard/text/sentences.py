"""Split plain text into sentences."""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["sentence_spans", "split_sentences"]

# The end of a sentence that might be none: an ordinal number (3. Mai) or an abbreviation (Nr., Abb.).
_DOUBTFUL = re.compile(r"(?:^|[^\w.])(?:(\d{1,4})|[^\W\d_]{1,5})\.\s*$")
_CLOSED = re.compile(r"[.!?…。！？][\"'”’)\]]+\s+(?=[^\W\d_])")  # the library looks into no bracket
_LONGEST_DOUBT = 12  # characters in front of a boundary that `_DOUBTFUL` looks at
_ENDS_WITHOUT_SPACE = "。！？｡"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_GERMAN = re.compile(r"\b(?:der|die|das|und|ist|nicht|ein|eine|von|mit|den|im)\b")
_ENGLISH = re.compile(r"\b(?:the|and|is|of|to|in|was|that|it|for)\b")
_GUESSED_FROM = 2000  # characters


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences; pass sentences yourself where you have them.

    Closing quotes and brackets after the full stop belong to its sentence, and abbreviations and ordinal
    numbers do not end one:

    >>> split_sentences('Dr. Smith et al. said "go." He (a cook) went.')
    ['Dr. Smith et al. said "go."', 'He (a cook) went.']
    >>> split_sentences("Er kam am 3. Mai. Dann ging er.")
    ['Er kam am 3. Mai.', 'Dann ging er.']
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Character spans `(start, end)` of the sentences of a text, without the white space around them.

    The boundaries are those of sentencex, by its rules for German if the text looks German, else by those
    for English. A boundary after a number or a short word stands only if the German rules agree, which know
    ordinal numbers; white space that belongs to no sentence is in no span.
    """
    edges = [0, *sorted(_boundaries(text)), len(text)]
    spans = []
    for start, end in pairwise(edges):
        inside = text[start:end]
        start += len(inside) - len(inside.lstrip())
        if inside.strip():
            spans.append((start, start + len(inside.strip())))
    return spans


def _boundaries(text: str) -> set[int]:
    """Positions where a sentence begins, but the first."""
    text = _SURROGATE.sub("x", text)  # which UTF-8, and so the library, cannot hold
    german = _starts(text, "de")
    closed = {match.end() for match in _CLOSED.finditer(text) if not text[match.end()].islower()}
    if _is_german(text):
        return german | closed
    english = _starts(text, "en")
    return closed | {i for i in english if i in german or not _is_doubtful(text, i)}


def _starts(text: str, language: str) -> set[int]:
    """Where sentences begin by the rules of a language: after white space, or a mark of a script without."""
    import sentencex

    find = sentencex.get_sentence_boundaries  # pyright: ignore[reportAttributeAccessIssue] - compiled
    found = (part["start_index"] for part in find(language, text))
    return {i for i in found if i and (text[i - 1].isspace() or text[i - 1] in _ENDS_WITHOUT_SPACE)}


def _is_doubtful(text: str, start: int) -> bool:
    """Whether the sentence before `start` may not have ended there."""
    found = _DOUBTFUL.search(text[max(0, start - _LONGEST_DOUBT) : start])
    # The German rules end no sentence before a small letter. Texts in small letters have many short
    # words at the end of one, but hardly a number.
    return found is not None and (found[1] is not None or not text[start : start + 1].islower())


def _is_german(text: str) -> bool:
    """Whether a text has more of the commonest German words than of the English, and capital letters."""
    sample = text[:_GUESSED_FROM]
    german, english = (len(words.findall(sample)) for words in (_GERMAN, _ENGLISH))
    return german > english and any(map(str.isupper, sample))
