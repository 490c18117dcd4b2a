"""Two texts that a model reads as one input: premise and hypothesis, question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from regard.errors import InputError

__all__ = ["PART_SEPARATOR", "SentencePair", "TextOrPair", "to_text"]

PART_SEPARATOR = " | "
"""Stands between the parts of a text that is read from several columns."""


class SentencePair(str):
    """Two texts; as a string, both with ` | ` between, which is what a model of one text reads.

    A pretrained tokenizer takes them apart and puts its own marks around them (`[CLS] a [SEP] b [SEP]`).

    Args:
        first: for instance the premise.
        second: for instance the hypothesis.

    >>> pair = SentencePair("It rains.", "It is wet.")
    >>> pair, pair.second
    ('It rains. | It is wet.', 'It is wet.')
    """

    first: str
    second: str

    def __new__(cls, first: str, second: str) -> SentencePair:
        """Join the two where both say something."""
        pair = super().__new__(cls, PART_SEPARATOR.join(t for t in (first, second) if t.strip()))
        pair.first, pair.second = str(first), str(second)
        return pair

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Arguments from which `pickle` and `copy` make it again."""
        return self.first, self.second

    @property
    def second_start(self) -> int:
        """Character at which the second text begins."""
        return len(self) - len(self.second) if self.second.strip() else len(self)

    def cut(self, limit: int) -> SentencePair:
        """The beginnings of both, `limit` characters in all; of the shorter as much as half of them."""
        first, second = shares(len(self.first), len(self.second), limit)
        return SentencePair(self.first[:first], self.second[:second])


TextOrPair: TypeAlias = str | tuple[str, str]
"""A text, or the two texts of a pair."""


def to_text(text: TextOrPair | Sequence[str]) -> str:
    """A text as it is, and two as a `SentencePair`.

    Raises:
        InputError: neither a text nor two.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, tuple | list) and len(text) == 2 and all(isinstance(t, str) for t in text):
        return SentencePair(text[0], text[1])
    raise InputError(
        f"{text!r:.80} is neither a text nor a pair of texts; expected 'a' or ('a', 'b')"
    )


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How much of two sequences is kept where both must fit, the longer cut first.

    As `truncation="longest_first"` of the `tokenizers` library.

    >>> shares(3, 9, 10), shares(9, 9, 11), shares(9, 3, 20)
    ((3, 7), (5, 6), (9, 3))
    """
    if first + second <= room:
        return first, second
    room = max(0, room)
    short, long = min(first, second), max(first, second)
    long = max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (short, long) if first <= second else (long, short)
