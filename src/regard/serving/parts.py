"""Parts of answers that the handlers of several tasks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from regard.api import Model
from regard.api.pairs import paired
from regard.api.tasks.answers import TextAnswer
from regard.api.tasks.steering import OnTextDraft
from regard.errors import InputError
from regard.serving import schemas as m
from regard.viewing import Tokens
from regard.viewing.data.tokens import word_units

__all__ = [
    "OnDraft",
    "WriteItem",
    "next_words_of",
    "on_draft_of",
    "one_line",
    "read_text",
    "rounded",
    "side_of",
    "word_after",
    "word_numbers",
]

OnDraft: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class WriteItem:
    """A request to a model that writes, and the callback for its drafts."""

    question: m.WriteRequest
    on_draft: OnDraft | None = None


def one_line(text: str) -> str:
    """The text with single spaces for all white space."""
    return " ".join(text.split())


def read_text(model: Model, question: m.ClassifyRequest | m.LookRequest) -> str:
    """The text of a request, or both of a pair, with single spaces for all white space."""
    second = None if question.pair is None else one_line(question.pair)
    return paired(model, one_line(question.text), second)


def on_draft_of(items: Sequence[WriteItem]) -> OnTextDraft | None:
    """Callback for the drafts of a batch; `None` if nobody reads any, since drafts cost a text per step."""
    if all(item.on_draft is None for item in items):
        return None

    def on_draft(index: int, text: str) -> None:
        reader = items[index].on_draft
        if reader is not None:
            reader(text)

    return on_draft


def word_numbers(tokens: Tokens, largest: int) -> list[int]:
    """The word number of each token."""
    starts = set(tokens.word_starts())
    if largest >= len(starts):
        raise InputError(
            f"word {largest} of a text of {len(starts)} words; they are counted from 0, "
            "as 'source.words' of the answer lists them"
        )
    numbers, word = [], -1
    for position in range(len(tokens)):
        word += position in starts
        numbers.append(word)
    return numbers


def next_words_of(
    answers: Sequence[TextAnswer],
    ways: Sequence[tuple[str, float]],
    begin: str,
    count: int,
) -> m.NextWords:
    """The next word of each answer, the most probable first; several pieces may begin one word."""
    choices: dict[str, m.NextWord] = {}
    for answer, (_, probability) in zip(answers, ways, strict=True):
        word = word_after(answer.text.strip(), begin)
        if word:
            choices.setdefault(
                word, m.NextWord(word=word, probability=probability, text=answer.text)
            )
    return m.NextWords(begin=begin, choices=list(choices.values())[:count])


def word_after(text: str, begin: str) -> str:
    """The word of `text` after `begin`; empty if `text` does not begin so."""
    rest = text[len(begin) :].lstrip() if text.startswith(begin) else ""
    units = word_units(rest)
    return "".join(sign for sign, unit in zip(rest, units, strict=True) if unit == units[0])


def side_of(tokens: Tokens | None, text: str) -> m.Side:
    """Words of a text as answers hold them; none where there are no tokens."""
    if tokens is None:
        return m.Side(text=text, words=[])
    words = [
        m.Word(text=piece, start=start, end=end, special=special)
        for piece, (start, end), special in zip(
            tokens.pieces, tokens.offsets, tokens.special, strict=True
        )
    ]
    return m.Side(text=tokens.text, words=words)


def rounded(row: Any) -> list[float]:
    """Weights with five decimals."""
    return [round(float(weight), 5) for weight in row]
