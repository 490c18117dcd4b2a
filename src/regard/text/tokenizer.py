"""Tokenizers: words, characters, or pieces of words learned by byte-pair encoding.

The `tokenizers` library learns and splits. This module adds four fixed special ids, offsets into the original
text, literal treatment of a text that contains `</s>`, and one JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from regard.errors import InputError, ModelFolderError, SettingsError, nearest
from regard.files import atomic_write
from regard.text.normalize import META, Normalizer, Span
from regard.text.pairs import shares
from regard.text.words import WORDS, detokenize, word_ids, word_spans

__all__ = ["BOS", "EOS", "PAD", "SPECIALS", "UNK", "Encoding", "Kind", "Tokenizer"]

Kind = Literal["bpe", "word", "char"]

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")

_VERSION = 1
# Pieces never cross a space or mix letters with punctuation; the space before a piece is part of
# it.
_PIECES = rf"{META}?[\p{{L}}\p{{M}}\p{{N}}]+|{META}?[^\p{{L}}\p{{M}}\p{{N}}{META}]|{META}"


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as ids, with offsets into its characters.

    Args:
        text: the original, before normalising.
        ids: one per token; no BOS or EOS.
        tokens: entries of the vocabulary, as strings.
        offsets: half-open span of characters in `text` for each token, without spaces before it.
        special: positions of tokens that belong to the model and not to the text (`[CLS]` of a pretrained
            tokenizer); our own tokenizers put none into a text.
        segments: of two texts that are read as a pair (`SentencePair`), 0 or 1 for each token, special
            ones with the text before them; empty for one text.
    """

    text: str
    ids: list[int]
    tokens: list[str]
    offsets: list[Span]
    special: frozenset[int] = frozenset()
    segments: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def surfaces(self) -> list[str]:
        """The original characters of each token, also of an unknown word; the name of a special one."""
        found = [self.text[start:end] for start, end in self.offsets]
        for position in self.special:
            found[position] = self.tokens[position]
        return found

    def first(self, count: int) -> Encoding:
        """The first tokens, `count` at most; special ones at the end keep their place there.

        Of a pair, every special token stays, and the longer text is cut first.

        >>> encoding = Encoding("a b", [7, 8, 5], ["a", "b", "[SEP]"], [(0, 1), (2, 3), (3, 3)], frozenset({2}))
        >>> encoding.first(2).tokens
        ['a', '[SEP]']
        """
        size = len(self)
        if size <= count:
            return self
        if self.segments:
            return self._take(self._first_of_both(count))
        end = size
        while end and end - 1 in self.special and size - end < count:
            end -= 1
        return self._take([*range(count - (size - end)), *range(end, size)])

    def _first_of_both(self, count: int) -> list[int]:
        """Positions of a pair that are kept."""
        texts = [
            [i for i, own in enumerate(self.segments) if own == which and i not in self.special]
            for which in (0, 1)
        ]
        first, second = shares(len(texts[0]), len(texts[1]), count - len(self.special))
        return sorted([*self.special, *texts[0][:first], *texts[1][:second]])

    def _take(self, kept: Sequence[int]) -> Encoding:
        return Encoding(
            self.text,
            [self.ids[i] for i in kept],
            [self.tokens[i] for i in kept],
            [self.offsets[i] for i in kept],
            frozenset(new for new, old in enumerate(kept) if old in self.special),
            tuple(self.segments[i] for i in kept) if self.segments else (),
        )

    def words(self) -> tuple[list[int], list[Span]]:
        """The word index of each token, and the spans of the words."""
        spans = word_spans(self.text)
        return word_ids(self.offsets, spans), spans


class Tokenizer:
    """Strings to ids and back. Made by `Tokenizer.train` or `Tokenizer.load`.

    Args:
        backend: a tokenizer of the `tokenizers` library whose ids 0 to 3 are `SPECIALS`.
        kind: `"bpe"`, `"word"` or `"char"`.
        normalizer: applied to a text first.
    """

    def __init__(self, backend: Backend, *, kind: Kind, normalizer: Normalizer) -> None:
        self.kind: Kind = kind
        self.normalizer: Normalizer = normalizer
        self._backend = backend
        backend.encode_special_tokens = (
            True  # "</s>" in a text is plain characters, not an end of sequence
        )
        self._pieces = tuple(str(backend.id_to_token(i)) for i in range(backend.get_vocab_size()))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "bpe",
        size: int = 8000,
        lowercase: bool = False,
        min_count: int = 1,
        form: Literal["NFC", "NFKC"] = "NFC",
    ) -> Tokenizer:
        """Learn a vocabulary, from the training part only.

        Args:
            texts: to learn from.
            kind: `"bpe"` pieces of words (Sennrich et al. 2016), `"word"` or `"char"`.
            size: most entries, with the four special ones; a BPE vocabulary first takes all
                characters.
            lowercase: true to drop case.
            min_count: least number of occurrences of a word (or of a pair to merge).
            form: Unicode normal form, see `Normalizer`.

        Raises:
            SettingsError: an unknown kind, or a size without room for any entry.
            InputError: `texts` is empty.
        """
        if kind not in get_args(Kind):
            raise SettingsError(f"unknown tokenizer {kind!r}; {nearest(kind, get_args(Kind))}")
        if size <= len(SPECIALS):
            raise SettingsError(f"a vocabulary of {size} has no room; try 1000 or more")
        if min_count < 1:
            raise SettingsError(f"min_count is {min_count}, expected 1 or more")
        normalizer = Normalizer(form=form, lowercase=lowercase)
        backend = _untrained(kind)
        backend.train_from_iterator(
            (_backend_input(normalizer(text), kind) for text in texts),
            _trainer(kind, size, min_count),
        )
        if backend.get_vocab_size() == len(SPECIALS):
            raise InputError(
                f"nothing to learn a vocabulary from: no word occurs {min_count} time(s); "
                "is the training text empty?"
            )
        return cls(backend, kind=kind, normalizer=normalizer)

    def __len__(self) -> int:
        return len(self._pieces)

    def __repr__(self) -> str:
        return f"Tokenizer(kind={self.kind!r}, size={len(self)})"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All entries, by id."""
        return self._pieces

    def copied_backend(self) -> Backend:
        """A copy of the tokenizer of the `tokenizers` library that splits normalised texts."""
        copy = Backend.from_str(self._backend.to_str())
        copy.encode_special_tokens = True
        return copy

    @property
    def first_ids(self) -> tuple[int, ...]:
        """Ids that a text which is written begins with, after BOS; those of a pretrained tokenizer alone."""
        return ()

    @property
    def special_tokens(self) -> frozenset[str]:
        """Tokens that belong to the model and not to a text."""
        return frozenset({SPECIALS[PAD], SPECIALS[BOS], SPECIALS[EOS]})

    @property
    def spelling(self) -> list[str]:
        """The characters that each entry adds to a text: none for special entries, U+FFFD for `<unk>`.

        A text is their concatenation, except for spaces around words and at both ends.
        """
        space = " " if self.kind == "word" else ""
        known = [space + piece.replace(META, " ") for piece in self._pieces[len(SPECIALS) :]]
        return ["", space + "\ufffd", "", "", *known]

    @property
    def marks_pairs(self) -> bool:
        """Whether it puts marks between the texts of a `SentencePair`; ours read it as one text."""
        return False

    def encode(self, text: str) -> Encoding:
        """Encode a text to ids, tokens and offsets; an empty text has none."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode many texts in parallel, in order."""
        normal = [self.normalizer(text) for text in texts]
        encodings = self._backend.encode_batch([_backend_input(text, self.kind) for text in normal])
        return [
            Encoding(
                text, encoding.ids, encoding.tokens, self._offsets(text, clean, encoding.offsets)
            )
            for text, clean, encoding in zip(texts, normal, encodings, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text, without padding, BOS and EOS; an unknown word reads `<unk>`.

        For pieces and characters the result is the normal form of the encoded text; words are joined as
        people write them, without a space before a full stop or inside brackets.
        """
        return self.join([self._pieces[index] for index in ids if index not in (PAD, BOS, EOS)])

    def join(self, tokens: Sequence[str]) -> str:
        """Join tokens (entries of `vocabulary`, or words that replace them) to a text."""
        if self.kind == "word":
            return detokenize(tokens)
        return "".join(tokens).replace(META, " ").removeprefix(" " if self.kind == "bpe" else "")

    def save(self, path: str | PathLike[str]) -> None:
        """Write one JSON file for `load`; it appears whole or not at all."""
        content = {
            "format": "regard-tokenizer",
            "version": _VERSION,
            "kind": self.kind,
            "form": self.normalizer.form,
            "lowercase": self.normalizer.lowercase,
            "backend": json.loads(self._backend.to_str()),
        }
        with atomic_write(path) as unfinished:
            unfinished.write_text(
                json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Tokenizer:
        """Read a file that `save` wrote.

        Raises:
            ModelFolderError: the file is missing, not a tokenizer of regard, damaged, or newer.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelFolderError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise ModelFolderError(f"{path}: damaged, not JSON ({error})") from error
        if not isinstance(content, dict) or content.get("format") != "regard-tokenizer":
            raise ModelFolderError(f"{path}: not a tokenizer written by regard")
        if content.get("version") != _VERSION:
            raise ModelFolderError(
                f"{path}: tokenizer version {content.get('version')!r}, expected {_VERSION}; "
                "try a newer regard"
            )
        try:
            backend = Backend.from_str(json.dumps(content["backend"]))
            if any(backend.id_to_token(i) != name for i, name in enumerate(SPECIALS)):
                raise ValueError(f"ids 0 to 3 are not {', '.join(SPECIALS)}")
            normalizer = Normalizer(form=content["form"], lowercase=content["lowercase"])
            return cls(backend, kind=content["kind"], normalizer=normalizer)
        except Exception as error:  # the backend raises bare Exception for what it cannot parse
            raise ModelFolderError(f"{path}: damaged tokenizer ({error})") from error

    def _offsets(self, text: str, normal: str, spans: Sequence[Span]) -> list[Span]:
        """Convert spans of the backend's input to spans of the original text."""
        if self.kind == "bpe":  # its input has META in front and for each space
            blocks = META + normal
            spans = [
                (start if blocks[start] in (META, " ") else start - 1, end - 1)
                for start, end in spans
            ]
        if normal == text or (text.isascii() and normal == text.lower()):  # one to one
            return list(spans)
        origin = self.normalizer.align(text)
        return [
            (origin[start][0], origin[end - 1][1] if start < end else origin[start][0])
            for start, end in spans
        ]


def _untrained(kind: Kind) -> Backend:
    """A backend of this kind without vocabulary."""
    if kind == "bpe":
        backend = Backend(models.BPE(unk_token=SPECIALS[UNK], fuse_unk=True))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
        return backend
    backend = Backend(models.WordLevel(unk_token=SPECIALS[UNK]))
    backend.pre_tokenizer = (
        WORDS if kind == "word" else pre_tokenizers.Split(Regex("."), "isolated")
    )
    return backend


def _trainer(kind: Kind, size: int, min_count: int) -> trainers.Trainer:
    """The trainer for this kind."""
    if kind == "bpe":
        return trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=min_count,
            special_tokens=list(SPECIALS),
            limit_alphabet=size - len(SPECIALS),
            show_progress=False,
        )
    return trainers.WordLevelTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=list(SPECIALS),
        show_progress=False,
    )


def _backend_input(normal: str, kind: Kind) -> str:
    """A normalised text in the form that the backend splits."""
    if kind != "bpe" or not normal:
        return normal
    return META + normal.replace(" ", META)
