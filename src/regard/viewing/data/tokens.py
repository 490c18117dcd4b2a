"""Tokens with their character spans in the original text, and the words they belong to.

A tokenizer cuts text into pieces; a person reads words. `Tokens` keeps the span of characters of every piece,
so that a view can show words and point back into the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from regard.errors import InputError

__all__ = ["Tokens", "word_units"]

_JOINERS = frozenset("'’-\u2010\u2011·\u00ad\u200c\u200d")
# Scripts written without spaces: one character is the smallest thing a reader would call a word.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x31FF),  # CJK radicals, kana, bopomofo
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)


@dataclass(frozen=True)
class Tokens:
    """The tokens along one axis of a map.

    Attributes:
        pieces: one string per position, for display.
        text: the original text the offsets point into.
        offsets: `(start, end)` in characters of `text`, one per piece; empty spans for
            tokens that stand for no text, such as `<s>`.
        special: `True` where the token belongs to the model and not to the text. By
            default every piece with an empty span.
        segments: of two texts that were read as a pair, 0 or 1 for each token; empty for one text.
    """

    pieces: tuple[str, ...]
    text: str
    offsets: tuple[tuple[int, int], ...]
    special: tuple[bool, ...] = field(default=())
    segments: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Other libraries keep them as NumPy's numbers, which JSON, and so every file, does not know.
        object.__setattr__(self, "offsets", tuple((int(a), int(b)) for a, b in self.offsets))
        special = self.special if len(self.special) else [a == b for a, b in self.offsets]
        object.__setattr__(self, "special", tuple(bool(mark) for mark in special))
        if not len(self.pieces) == len(self.offsets) == len(self.special):
            raise InputError(
                f"{len(self.pieces)} pieces, {len(self.offsets)} offsets and {len(self.special)} "
                "special marks do not go together; give one of each per token"
            )
        if self.segments and len(self.segments) != len(self.pieces):
            raise InputError(
                f"{len(self.pieces)} pieces and {len(self.segments)} segments; give one of each per token, or "
                "no segments"
            )
        for piece, (start, end) in zip(self.pieces, self.offsets, strict=True):
            if not 0 <= start <= end <= len(self.text):
                raise InputError(
                    f"token {piece!r} has the span {(start, end)}, outside its text of "
                    f"{len(self.text)} characters; offsets count characters, not bytes"
                )

    @classmethod
    def of(
        cls, pieces: Sequence[str], text: str | None = None, *, special: Sequence[str] = ()
    ) -> Tokens:
        """Make tokens from plain strings; pieces named in `special` get an empty span.

        Without `text`, the text is the ordinary pieces joined by spaces. With it, each piece is searched
        after the previous one; a piece that is not found (normalised or marked by its tokenizer) gets an
        empty span at that position and still counts as ordinary.

        >>> Tokens.of(["<s>", "the", "cat"], special=["<s>"]).offsets
        ((0, 0), (0, 3), (4, 7))
        """
        marks = tuple(piece in special for piece in pieces)
        if text is None:
            text = " ".join(p for p, mark in zip(pieces, marks, strict=True) if not mark)
        offsets, at = [], 0
        for piece, mark in zip(pieces, marks, strict=True):
            found = -1 if mark else text.find(piece, at)
            offsets.append((at, at) if found < 0 else (found, found + len(piece)))
            at = offsets[-1][1]
        return cls(tuple(pieces), text, tuple(offsets), marks)

    def __len__(self) -> int:
        return len(self.pieces)

    def take(self, keep: Sequence[int]) -> Tokens:
        """Select positions, in the given order."""
        return Tokens(
            tuple(self.pieces[i] for i in keep),
            self.text,
            tuple(self.offsets[i] for i in keep),
            tuple(self.special[i] for i in keep),
            tuple(self.segments[i] for i in keep) if self.segments else (),
        )

    def word_starts(self) -> list[int]:
        """The position of the first piece of every word.

        Neighbouring pieces are one word when the first visible character of both lies in the same
        word of the text. A piece of white space belongs to the word behind it. Special tokens and
        pieces with an empty span are words of their own.

        >>> Tokens(("un", "likely", "!"), "unlikely!", ((0, 2), (2, 8), (8, 9))).word_starts()
        [0, 2]
        """
        units = word_units(self.text)
        starts: list[int] = []
        before: int | None = None
        is_blank = False
        for position, (start, end) in enumerate(self.offsets):
            visible = (units[i] for i in range(start, end) if units[i] >= 0)
            unit = None if self.special[position] else next(visible, None)
            follows_blank = is_blank and start == self.offsets[position - 1][1]
            is_blank = unit is None and start < end and not self.special[position]
            joins = follows_blank and (is_blank or unit is not None)
            if not joins and (unit is None or unit != before):
                starts.append(position)
            before = unit
        return starts

    def words(self) -> Tokens:
        """Merge pieces to words, spelt as in the text."""
        return self.merged(self.word_starts())

    def merged(self, starts: Sequence[int]) -> Tokens:
        """Merge the pieces from each start to the next, spelt as in the text; the first start is 0."""
        pieces, offsets, special = [], [], []
        for start, end in zip(starts, [*starts[1:], len(self)], strict=True):
            span = (self.offsets[start][0], max(b for _, b in self.offsets[start:end]))
            written = self.text[span[0] : span[1]].strip()
            piece = self.pieces[start].strip() or self.pieces[start]
            pieces.append(written if end - start > 1 and written else piece)
            offsets.append(span)
            special.append(self.special[start])
        segments = tuple(self.segments[start] for start in starts) if self.segments else ()
        return Tokens(tuple(pieces), self.text, tuple(offsets), tuple(special), segments)


def word_units(text: str) -> list[int]:
    """The word number of every character; -1 for white space.

    A word is a run of letters, marks, digits and underscores (with inner apostrophes and hyphens),
    one character of a script written without spaces, or a run of other signs.

    >>> word_units("don't go, 北京")
    [0, 0, 0, 0, 0, -1, 1, 1, 2, -1, 3, 4]
    """
    units: list[int] = []
    unit, before = -1, ""
    for position, character in enumerate(text):
        kind = _character_class(character)
        mark = kind == "mark"
        if kind == "joiner":  # belongs to the word it stands in, else it is a sign
            after = _character_class(text[position + 1]) if position + 1 < len(text) else ""
            kind = "word" if before == "word" == after else "sign"
        elif mark:  # a combining mark goes with whatever it combines with
            kind = before or "sign"
        goes_on = kind == before and (mark or kind != "unspaced")
        if kind != "space" and not goes_on:
            unit += 1
        units.append(-1 if kind == "space" else unit)
        before = kind
    return units


@lru_cache(maxsize=4096)  # of few characters; to look one up takes most of the time of `word_units`
def _character_class(character: str) -> str:
    """Class of a character: `"word"`, `"sign"`, `"space"`, `"mark"`, `"joiner"` or `"unspaced"`."""
    if character.isspace():
        return "space"
    if character in _JOINERS:
        return "joiner"
    category = unicodedata.category(character)
    if category[0] == "M":
        return "mark"
    code = ord(character)
    if any(low <= code <= high for low, high in _UNSPACED):
        return "unspaced"
    return "word" if category[0] in "LN" or character == "_" else "sign"
