"""Normalise text, with an alignment back to the original characters.

Unicode writes one text in several ways ("é" is one character or two), and files contain double and unusual
spaces. A tokenizer should not learn each of them, but attention is shown on the text as it was given. So a
`Normalizer` gives the normal form of a text, and for each of its characters the span of the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from regard.errors import SettingsError, nearest

__all__ = ["Normalizer", "Span"]

Span = tuple[int, int]
"""Half-open range of characters: `text[start:end]`."""

META = "\u2581"
"""The sign for a space inside BPE pieces; in a text it counts as a space."""

# Half a surrogate pair is not a character; undecodable bytes on a command line produce them.
_SURROGATES = re.compile("[\ud800-\udfff]")
_TOKENS = re.compile(r"\s+|\S")
_FORMS = ("NFC", "NFKC")


@dataclass(frozen=True)
class Normalizer:
    """Normaliser: Unicode normal form, single spaces between words, optionally lower case.

    `normalizer(normalizer(text)) == normalizer(text)`. Lower-casing works character by character,
    without the Greek rule for a final sigma, so that a part of a text normalises as it does inside
    the whole.

    Args:
        form: `"NFC"` joins canonical equivalents ("e" + accent -> "é"); `"NFKC"` also replaces
            compatibility characters ("ﬁ" -> "fi", "①" -> "1", full-width letters).
        lowercase: true to drop case.
    """

    form: Literal["NFC", "NFKC"] = "NFC"
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.form not in _FORMS:
            raise SettingsError(
                f"unknown Unicode normal form {self.form!r}; {nearest(self.form, _FORMS)}"
            )

    def __call__(self, text: str) -> str:
        """The normal form of `text`."""
        return " ".join(self._characters(text).replace(META, " ").split())

    def align(self, text: str) -> list[Span]:
        """The span of `text` for each character of its normal form.

        Characters that were composed or decomposed together all have the span of the whole; a run of
        spaces is one span.
        """
        if text.isascii():  # one to one, except for spaces
            inside = len(text) - len(text.lstrip()), len(text.rstrip())
            return [match.span() for match in _TOKENS.finditer(text, *inside)]
        spans: list[Span] = []
        normal: list[str] = []
        for start, end in _segments(text, self._characters):
            for character in self._characters(text[start:end]):
                if character.isspace() or character == META:
                    if not normal:
                        continue
                    if normal[-1] == " ":
                        spans[-1] = (spans[-1][0], end)
                        continue
                    character = " "
                normal.append(character)
                spans.append((start, end))
        return spans[:-1] if normal and normal[-1] == " " else spans

    def _characters(self, text: str) -> str:
        """`text` in normal form and case, with its spaces unchanged."""
        if not text.isascii():
            text = unicodedata.normalize(self.form, _SURROGATES.sub("\ufffd", text))
        if self.lowercase and not text.islower():
            if text.isascii():
                return text.lower()
            lower = "".join(map(str.lower, text))
            text = unicodedata.normalize(self.form, lower)
        return text


def _segments(text: str, normal: Callable[[str], str]) -> Iterator[Span]:
    """Cut `text` into parts that can be normalised separately.

    A new part begins at a character that is not a combining mark (and does not decompose to one) and
    does not join with the characters before it, as Hangul vowels do.
    """
    start = 0
    for end in range(1, len(text)):
        if not text[end].isascii():
            alone = normal(text[end])
            before = text[start:end]
            if (
                unicodedata.combining(alone[0])
                or normal(before + text[end]) != normal(before) + alone
            ):
                continue
        yield start, end
        start = end
    if text:
        yield start, len(text)
