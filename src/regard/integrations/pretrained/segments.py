"""Pairs of texts: where a pretrained tokenizer puts its marks, and which type each token has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from regard.errors import ModelFolderError
from regard.text import BOS

__all__ = ["PairLayout", "known_text", "segments_of"]


@dataclass(frozen=True)
class PairLayout:
    """Special tokens around one text and around two, and their token types.

    A BERT reads `[CLS] a [SEP] b [SEP]` with the types `0 0 0 1 1`, an XLNet `a <sep> b <sep> <cls>` with
    `0 0 1 1 2`. The types follow from the ids, so that a text with some of its tokens erased keeps them: our
    BOS stands for the mark behind the first text of a pair.

    Attributes:
        single: types in front of a text, of the text, and behind it; `None` where the model has no types.
        pair: types in front, of the first text, of what stands between, of the second, and behind it.
        front: number of special tokens in front of a pair.
        mark: id of theirs of the special token behind the first text of a pair; `None` where nothing is
            between the texts, so that they would be read as one.
    """

    single: tuple[tuple[int, ...], int, tuple[int, ...]] | None
    pair: tuple[tuple[int, ...], int, tuple[int, ...], int, tuple[int, ...]] | None
    front: int
    mark: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> PairLayout:
        """Find the layout of a tokenizer of transformers by what it makes of two words."""
        word = known_text(tokenizer)
        single, pair = _encode(tokenizer, word), _encode(tokenizer, word, word)
        front = _specials(pair.marks, 0)
        first = _ordinary(pair.marks, front)
        between = _specials(pair.marks, front + first)
        mark = pair.ids[front + first] if between else None
        if pair.types is None or single.types is None or mark is None:
            return cls(None, None, front, mark)
        head = _specials(single.marks, 0)
        text = _ordinary(single.marks, head)
        behind = front + first + between + _ordinary(pair.marks, front + first + between)
        types = pair.types
        return cls(
            (single.types[:head], single.types[head], single.types[head + text :]),
            (
                types[:front],
                types[front],
                types[front + first : front + first + between],
                types[front + first + between],
                types[behind:],
            ),
            front,
            mark,
        )

    def types(self, ids: Tensor, lengths: Tensor) -> Tensor | None:
        """Token types `(batch, length)` of our ids; `None` where all are 0, which models take for granted.

        Args:
            ids: `(batch, length)`, padded on the right.
            lengths: `(batch,)`.
        """
        if self.single is None or self.pair is None:
            return None
        marks = (ids == BOS).long().argmax(1)  # 0: no pair, since a text stands before the mark
        found = torch.zeros_like(ids)
        for row, mark, length in zip(found, marks.tolist(), lengths.tolist(), strict=True):
            types = self._of_pair(mark, length) if mark else self._of_text(length)
            row[:length] = torch.tensor(types[:length], device=ids.device)
        return found if bool(found.any()) else None

    def _of_text(self, length: int) -> list[int]:
        assert self.single is not None
        front, text, behind = self.single
        return [*front, *[text] * (length - len(front) - len(behind)), *behind]

    def _of_pair(self, mark: int, length: int) -> list[int]:
        assert self.pair is not None
        front, first, between, second, behind = self.pair
        rest = length - mark - len(between) - len(behind)
        return [*front, *[first] * (mark - len(front)), *between, *[second] * rest, *behind]


def segments_of(marks: Sequence[bool], texts: Sequence[int | None]) -> tuple[int, ...]:
    """Text of each token of a pair, 0 or 1; a special token goes with the text before it.

    >>> segments_of([True, False, True, False, True], [None, 0, None, 1, None])
    (0, 0, 0, 1, 1)

    Args:
        marks: which tokens are special.
        texts: number of the text of the others.
    """
    found, at = [], 0
    for special, text in zip(marks, texts, strict=True):
        at = at if special or text is None else int(text)
        found.append(at)
    return tuple(found)


def known_text(tokenizer: Any) -> str:
    """A text that a tokenizer can encode: "a", or an entry if it has neither that nor an unknown token."""
    entries = (tokenizer.decode([index]).strip() for index in range(len(tokenizer)))
    special = set(tokenizer.all_special_tokens)
    text: str
    for text in chain(["a"], (entry for entry in entries if entry and entry not in special)):
        try:
            if tokenizer(text, add_special_tokens=False)["input_ids"]:
                return text
        except Exception:  # noqa: S112  (`tokenizers` raises no other class)
            continue
    raise ModelFolderError("its tokenizer encodes none of its own entries")


@dataclass(frozen=True)
class _Encoded:
    ids: tuple[int, ...]
    marks: tuple[bool, ...]
    types: tuple[int, ...] | None


def _encode(tokenizer: Any, *texts: str) -> _Encoded:
    found = tokenizer(*texts, return_special_tokens_mask=True)
    types = found.get("token_type_ids")
    return _Encoded(
        tuple(int(index) for index in found["input_ids"]),
        tuple(bool(mark) for mark in found["special_tokens_mask"]),
        None if types is None else tuple(int(kind) for kind in types),
    )


def _specials(marks: Sequence[bool], start: int) -> int:
    """How many special tokens stand together from a position on."""
    return next((n for n, mark in enumerate(marks[start:]) if not mark), len(marks) - start)


def _ordinary(marks: Sequence[bool], start: int) -> int:
    """How many tokens of a text stand together from a position on."""
    return next((n for n, mark in enumerate(marks[start:]) if mark), len(marks) - start)
