"""Tokens of texts and of generated ids, from the tokenizers of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regard.errors import InputError
from regard.viewing import Tokens

__all__ = ["tokens"]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder shows for bytes that are not yet a whole character."""


def tokens(tokenizer: Any, text: Any) -> Tokens:
    """Tokenize a text or a pair of texts, or convert token ids, with a `transformers` tokenizer.

    Args:
        tokenizer: a tokenizer, fast or not.
        text: a text, to which special tokens are added as for the model; a pair of texts, as a tuple;
            ids, for example generated ones (`output[0]`), as a list, array or tensor; or what the
            tokenizer returned for one text.

    Returns:
        The tokens with their character offsets in the text: of a pair, the two with a space between
        them; of ids, what they say when decoded. Pieces of one character share its offsets. Where a
        tokenizer gives no offsets, its pieces are searched in the text, and one that is not there
        (normalised, say) has none.

    Raises:
        InputError: neither of these, or several texts.
    """
    if isinstance(text, str):
        return _of_texts(tokenizer, (text,))
    if isinstance(text, list | tuple) and text and all(isinstance(each, str) for each in text):
        if len(text) != 2:
            raise InputError(f"got {len(text)} texts; expected one, or a pair of them as a tuple")
        return _of_texts(tokenizer, tuple(text))
    spelled = _Spelled(tokenizer, _ids(text))
    return Tokens(tuple(spelled.pieces), spelled.text, tuple(spelled.offsets), spelled.special)


def _ids(given: Any) -> list[int]:
    """Ids of one text, whatever holds them."""
    if isinstance(given, Mapping) or hasattr(given, "input_ids"):
        given = given["input_ids"]
    ids = given.tolist() if hasattr(given, "tolist") else list(given)
    if ids and isinstance(ids[0], list | tuple):
        if len(ids) != 1:
            raise InputError(
                f"got the ids of {len(ids)} texts; expected those of one, output[0] for the first"
            )
        ids = list(ids[0])
    if not all(isinstance(i, int) for i in ids):
        raise InputError(
            f"got {type(given).__name__}; expected a text, a pair of texts, token ids, or what the "
            "tokenizer returned for one text"
        )
    return ids


def _of_texts(tokenizer: Any, texts: tuple[str, ...]) -> Tokens:
    """Tokens of a text, or of two with a space between them."""
    whole = " ".join(texts)
    if not getattr(tokenizer, "is_fast", False):
        spelled = _Spelled(tokenizer, _ids(tokenizer(*texts)))
        return Tokens(tuple(spelled.pieces), whole, spelled.found_in(whole), spelled.special)
    encoding = tokenizer(*texts, return_offsets_mapping=True, return_special_tokens_mask=True)
    starts = (0, len(texts[0]) + 1)
    offsets = []
    for part, (start, end) in zip(
        encoding.sequence_ids(0), encoding["offset_mapping"], strict=True
    ):
        shift = starts[part or 0]
        offsets.append((shift + int(start), shift + int(end)))
    names = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    special = tuple(map(bool, encoding["special_tokens_mask"]))
    offsets = [(0, 0) if mark else span for mark, span in zip(special, offsets, strict=True)]
    pieces = tuple(whole[a:b] or name for (a, b), name in zip(offsets, names, strict=True))
    return Tokens(pieces, whole, tuple(offsets), special)


class _Spelled:
    """Ids decoded one after the other, each as what it adds to the text.

    A piece alone may be no text: some bytes of a character, or a syllable that decodes differently
    at the beginning. So it is decoded behind the piece before, and bytes wait for their character.

    Args:
        tokenizer: the tokenizer.
        ids: of one text.

    Attributes:
        pieces: what each id adds; the name of a special one.
        text: all that ordinary ids add.
        offsets: character spans in the text.
        special: which ids are special.
    """

    def __init__(self, tokenizer: Any, ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self.pieces: list[str] = [""] * len(ids)
        self.offsets: list[tuple[int, int]] = [(0, 0)] * len(ids)
        self.text = ""
        all_special = set(tokenizer.all_special_ids)
        self.special = tuple(i in all_special for i in ids)
        before: list[int] = []  # ids of the last piece that was read
        waiting: list[int] = []  # places of the ids after it
        for place, token in enumerate(ids):
            if self.special[place]:
                before, waiting = self._add(ids, before, waiting), []
                self.pieces[place] = self._decode([token])
                self.offsets[place] = (len(self.text), len(self.text))
                continue
            waiting.append(place)
            added = self._added(ids, before, waiting)
            if added and not added.endswith(_UNFINISHED):
                before, waiting = self._add(ids, before, waiting), []
        self._add(ids, before, waiting)

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
        return text

    def _added(self, ids: Sequence[int], before: list[int], waiting: list[int]) -> str:
        """Text that the waiting ids add behind those before."""
        start = self._decode(before) if before else ""
        return self._decode([*before, *(ids[place] for place in waiting)])[len(start) :]

    def _add(self, ids: Sequence[int], before: list[int], waiting: list[int]) -> list[int]:
        """Add the waiting ids to the text; return them, the next ones to decode behind."""
        if not waiting:
            return before
        added = self._added(ids, before, waiting)
        span = (len(self.text), len(self.text) + len(added))
        self.text += added
        for place in waiting:
            self.pieces[place], self.offsets[place] = added, span
        return [ids[place] for place in waiting]

    def found_in(self, text: str) -> tuple[tuple[int, int], ...]:
        """Character spans in the text that was tokenized; an empty one for a piece that is not there."""
        if self.text == text:
            return tuple(self.offsets)
        spans: list[tuple[int, int]] = []
        at, last = 0, (-1, -1)
        for piece, span, mark in zip(self.pieces, self.offsets, self.special, strict=True):
            if span == last and spans and span[0] < span[1]:  # of one character
                spans.append(spans[-1])
                continue
            last, word = span, piece.strip()
            found = -1 if mark or not word else text.find(word, at)
            if found < 0 and word and not mark:
                found = text.lower().find(word.lower(), at)
            spans.append((at, at) if found < 0 else (found, found + len(word)))
            at = spans[-1][1]
        return tuple(spans)
