"""Tokenizers of transformers as ours: texts to encodings with offsets, ids to texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from os import PathLike
from typing import Any, Literal, TypeAlias

import torch

from regard.errors import InputError
from regard.integrations.pretrained.segments import PairLayout, segments_of
from regard.integrations.pretrained.vocabulary import Vocabulary
from regard.text import BOS, EOS, PAD, SPECIALS, UNK, Encoding, SentencePair, Tokenizer
from regard.text.normalize import Normalizer, Span
from regard.text.tokenizer import Kind

__all__ = ["PretrainedTokenizer", "Role"]

Role: TypeAlias = Literal["text", "source", "target", "prompt"]
"""What a tokenizer encodes."""


class PretrainedTokenizer(Tokenizer):
    """A tokenizer of transformers behind the methods of ours.

    The special tokens that it puts around a text are part of an encoding, at the positions in
    `Encoding.special`; BOS in front and EOS at the end are left out where our tasks add them.

    Args:
        backend: the tokenizer of transformers, fast or slow.
        vocabulary: its ids as ours.
        role: what it encodes: a whole `"text"`; a `"source"`, whose EOS our tasks add; a `"target"`, or the
            `"prompt"` of a language model, whose BOS they add, too.
        first: ids of theirs that all it writes begins with.
    """

    def __init__(
        self,
        backend: Any,
        vocabulary: Vocabulary,
        *,
        role: Role = "text",
        first: Sequence[int] = (),
    ) -> None:
        self.kind: Kind = "bpe"
        self.normalizer: Normalizer = Normalizer()
        self.backend: Any = backend
        self._words = vocabulary
        self._role = role
        self._first = tuple(vocabulary.ours(first))

    def __len__(self) -> int:
        return len(self._words)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Our vocabulary: what theirs calls our four special ids, then all of theirs."""
        words, count = self._words, min(len(self.backend), self._words.size)
        own = [str(name) for name in self.backend.convert_ids_to_tokens(list(range(count)))]
        own += [f"<unused {index}>" for index in range(count, words.size)]
        ends = words.ends[0] if words.ends else None
        named = zip((words.pad, words.unknown, words.begin, ends), SPECIALS, strict=True)
        return (*(name if index is None else own[index] for index, name in named), *own)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All entries, by id."""
        return self._names

    @property
    def spelling(self) -> list[str]:
        """The characters that each entry adds to a text: none for special entries."""
        special = self.special_tokens
        return [
            "" if name in special else self.backend.convert_tokens_to_string([name])
            for name in self.vocabulary
        ]

    @property
    def first_ids(self) -> tuple[int, ...]:
        """Ids that an answer begins with: a language code, or `<s>` of BART."""
        return self._first

    @property
    def special_tokens(self) -> frozenset[str]:
        """Tokens that belong to the model and not to a text; the unknown token stands for text."""
        return self._special_tokens

    @cached_property
    def _special_tokens(self) -> frozenset[str]:
        unknown = {str(self.backend.unk_token), self.vocabulary[UNK]}
        shared = {str(self.backend.eos_token), str(self.backend.bos_token)}  # GPT-2 has one for all
        return frozenset(map(str, self.backend.all_special_tokens)) - (unknown - shared)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of `special_tokens`, as ours."""
        found = self.backend.convert_tokens_to_ids(sorted(self.special_tokens))
        return frozenset({PAD, BOS, EOS, *self._words.ours(found)}) - {UNK}

    def their_ids(self, ids: Sequence[int]) -> list[int]:
        """Ids of the model for ours."""
        found: list[int] = self._words.theirs(torch.tensor(list(ids), dtype=torch.int64)).tolist()
        return found

    @property
    def mask_id(self) -> int:
        """Id of its mask token, else of its unknown token, as ours."""
        if self.backend.mask_token_id is None:
            return UNK
        return self._words.ours([int(self.backend.mask_token_id)])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts, with the special tokens that the model expects around them."""
        return [self._encode(text) for text in texts]

    @cached_property
    def pair_layout(self) -> PairLayout:
        """Where it puts its marks around two texts."""
        return PairLayout.of(self.backend)

    @property
    def marks_pairs(self) -> bool:
        """Whether it puts marks between the texts of a `SentencePair`."""
        return self._role == "text" and self.pair_layout.mark is not None

    def _encode(self, text: str) -> Encoding:
        if isinstance(text, SentencePair) and self._role == "text":
            return self._encode_pair(text)
        given: dict[str, Any] = {"text_target": text} if self._role == "target" else {"text": text}
        found = self.backend(
            **given,
            truncation=False,
            verbose=False,
            return_offsets_mapping=self.backend.is_fast,
            return_special_tokens_mask=True,
        )
        ids = [int(index) for index in found["input_ids"]]
        marks = [bool(mark) for mark in found["special_tokens_mask"]]
        names = [str(name) for name in self.backend.convert_ids_to_tokens(ids)]
        spans = (
            found["offset_mapping"] if self.backend.is_fast else _found_spans(text, names, marks)
        )
        offsets = [
            _without_spaces(text, span, mark) for span, mark in zip(spans, marks, strict=True)
        ]
        kept = self._kept(ids, marks)
        return Encoding(
            text,
            self._words.ours(ids[kept]),
            names[kept],
            offsets[kept],
            frozenset(i for i, mark in enumerate(marks[kept]) if mark),
        )

    def _encode_pair(self, pair: SentencePair) -> Encoding:
        """Encode two texts; BOS of ours stands for the mark behind the first.

        Raises:
            InputError: the tokenizer puts no mark between two texts, so they would be read as one.
        """
        if self.pair_layout.mark is None:
            raise InputError(
                "this model's tokenizer puts no mark between two texts, so a pair would be read as one; "
                "give one text, joined as the model was trained"
            )
        backend = self.backend
        found = backend(
            pair.first,
            pair.second,
            truncation=False,
            verbose=False,
            return_offsets_mapping=backend.is_fast,
            return_special_tokens_mask=True,
        )
        theirs = [int(index) for index in found["input_ids"]]
        marks = [bool(mark) for mark in found["special_tokens_mask"]]
        names = [str(name) for name in backend.convert_ids_to_tokens(theirs)]
        if backend.is_fast:
            texts = found.sequence_ids(0)
            mark = self.pair_layout.front + texts.count(0)
        else:
            first = backend(pair.first, add_special_tokens=False)["input_ids"]
            mark = self.pair_layout.front + len(first)
            texts = [int(i > mark) for i in range(len(theirs))]
        segments = segments_of(marks, texts)
        spans = found["offset_mapping"] if backend.is_fast else _found_spans(pair, names, marks)
        shift = pair.second_start if backend.is_fast else 0
        offsets = [
            _without_spaces(pair, _shifted(span, shift * segment, len(pair)), own)
            for span, segment, own in zip(spans, segments, marks, strict=True)
        ]
        ids = self._words.ours(theirs)
        ids[mark] = BOS
        special = frozenset(i for i, own in enumerate(marks) if own)
        return Encoding(pair, ids, names, offsets, special, segments)

    def _kept(self, ids: Sequence[int], marks: Sequence[bool]) -> slice:
        """The positions that our tasks do not add themselves."""
        if self._role == "text":
            return slice(None)
        first, last = 0, len(ids)
        if last and marks[-1] and ids[-1] in self._words.ends:
            last -= 1
        begins = self._role != "source" and first < last and marks[0]
        if begins and ids[0] == self._words.begin:
            first += 1
        return slice(first, last)

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text, without special tokens."""
        names = self.vocabulary
        return self.join([names[index] for index in ids if index not in (PAD, BOS, EOS)])

    def join(self, tokens: Sequence[str]) -> str:
        """Join tokens (entries of `vocabulary`) to a text, without special ones."""
        special = self.special_tokens
        ids = [
            self.backend.convert_tokens_to_ids(token) for token in tokens if token not in special
        ]
        text: str = self.backend.decode(ids, clean_up_tokenization_spaces=False)
        return text

    def save(self, path: str | PathLike[str]) -> None:
        """Refuse: it is saved with its model, as transformers saves it."""
        raise InputError(
            "a pretrained tokenizer is saved with its model: model.save(folder), or save_pretrained of "
            "transformers"
        )


def _found_spans(text: str, names: Sequence[str], marks: Sequence[bool]) -> list[Span]:
    """Spans of the tokens of a slow tokenizer, each searched after the one before; empty if not found."""
    spans, at, folded = list[Span](), 0, text.casefold()
    same_length = len(folded) == len(text)
    for name, mark in zip(names, marks, strict=True):
        piece = name.replace("▁", " ").replace("</w>", "").removeprefix("##").strip()
        start = -1 if mark or not piece else text.find(piece, at)
        if start < 0 and not mark and piece and same_length:
            start = folded.find(piece.casefold(), at)
        if start >= 0:
            at = start + len(piece)
        spans.append((at, at) if start < 0 else (start, at))
    return spans


def _shifted(span: Sequence[int], by: int, longest: int) -> Span:
    """A span of the second text of a pair, in the text of both."""
    return (min(span[0] + by, longest), min(span[1] + by, longest))


def _without_spaces(text: str, span: Sequence[int], special: bool) -> Span:
    """A span without the white space before it; an empty one for a special token."""
    start, end = int(span[0]), int(span[1])
    if special:
        return (start, start)
    while start < end - 1 and text[start].isspace():
        start += 1
    return (start, end)
