"""One spelling for each text, and the way back to the characters it came from.

Unicode writes the same text in several ways ("é" is one character or two), and files are full of
double and exotic spaces. A tokenizer should not learn each of them, but whoever looks at attention
wants to see it on the text as it was given. So a `Normalizer` answers two questions: what is the
normal form of this text, and which characters of the original does each of its characters stand
for.
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
"""The block that stands for a space inside BPE pieces; in a text it counts as a space."""

_SPACES = re.compile(rf"[\s{META}]+")
# Half a surrogate pair is no character; it comes from undecodable bytes on a command line.
_HALVES = re.compile("[\ud800-\udfff]")
_PLACES = re.compile(r"\s+|\S")
_FORMS = ("NFC", "NFKC")


@dataclass(frozen=True)
class Normalizer:
    """Unicode normal form, one space between words and none around them, optionally lower case.

    `normalizer(normalizer(text)) == normalizer(text)`. Lower-casing goes character by character,
    without the Greek rule for a final sigma, so that a piece of a text normalises as it does
    inside the text.

    Args:
        form: `"NFC"` joins what looks the same ("e" + accent -> "é"); `"NFKC"` also what means the
            same ("ﬁ" -> "fi", "①" -> "1", full-width letters).
        lowercase: whether case is dropped.
    """

    form: Literal["NFC", "NFKC"] = "NFC"
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.form not in _FORMS:
            raise SettingsError(
                f"unknown Unicode normal form {self.form!r}; {nearest(self.form, _FORMS)}"
            )

    def __call__(self, text: str) -> str:
        """Return the normal form of `text`."""
        return _SPACES.sub(" ", self._characters(text)).strip(" ")

    def align(self, text: str) -> list[Span]:
        """For each character of the normal form, the span of `text` it stands for.

        Characters that were joined (or taken apart) together all point to the whole they came from;
        a run of spaces is one span.
        """
        if text.isascii():  # a character for a character, but for spaces
            inside = len(text) - len(text.lstrip()), len(text.rstrip())
            return [place.span() for place in _PLACES.finditer(text, *inside)]
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
        """Return `text` in normal form and case, spaces untouched."""
        if not text.isascii():
            text = unicodedata.normalize(self.form, _HALVES.sub("\ufffd", text))
        if self.lowercase and not text.islower():
            lower = "".join(map(str.lower, text))
            text = unicodedata.normalize(self.form, lower)
        return text


def _segments(text: str, normal: Callable[[str], str]) -> Iterator[Span]:
    """Cut `text` where normalising the parts gives the same as normalising the whole.

    A new part begins at a character that neither is a combining mark (or decomposes to one) nor
    joins with what stands before it, as Hangul vowels do.
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
