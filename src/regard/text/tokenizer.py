"""Text to ids and back: whole words, characters, or pieces of words learned by byte-pair encoding.

The learning and splitting is done by the `tokenizers` library. What is added here: the same four
special ids everywhere, offsets that point into the text as it was given, a text that spells out
`</s>` stays text, and one JSON file.
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
    """A text as ids, with the way back to its characters.

    Args:
        text: as it was given, before normalising.
        ids: one per token; no BOS or EOS.
        tokens: the entries of the vocabulary, as strings.
        offsets: for each token the half-open range of characters in `text` it stands for. Spaces
            before a token are not part of it.
    """

    text: str
    ids: list[int]
    tokens: list[str]
    offsets: list[Span]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def surfaces(self) -> list[str]:
        """The original characters of each token (what an unknown word really was)."""
        return [self.text[start:end] for start, end in self.offsets]

    def words(self) -> tuple[list[int], list[Span]]:
        """For each token the word it belongs to, and where the words are in the text."""
        spans = word_spans(self.text)
        return word_ids(self.offsets, spans), spans


class Tokenizer:
    """Strings to ids and back. Made by `Tokenizer.train` or `Tokenizer.load`.

    Args:
        backend: a tokenizer of the `tokenizers` library whose ids 0 to 3 are `SPECIALS`.
        kind: how it splits.
        normalizer: what is done to a text first.
    """

    def __init__(self, backend: Backend, *, kind: Kind, normalizer: Normalizer) -> None:
        self.kind: Kind = kind
        self.normalizer = normalizer
        self._backend = backend
        backend.encode_special_tokens = True  # "</s>" in a text is four characters, not an end
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
        """Learn a vocabulary. Give it the training part only.

        Args:
            texts: what to learn from.
            kind: `"bpe"` pieces of words (Sennrich et al. 2016), `"word"` or `"char"`.
            size: entries at most, the four special ones included; a BPE vocabulary holds all
                characters first.
            lowercase: whether case is dropped.
            min_count: how often a word (or a pair to be merged) must be seen.
            form: Unicode normal form, see `Normalizer`.

        Raises:
            SettingsError: a kind that does not exist, or no room for a single entry.
            InputError: there is no text in `texts`.
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
            (_feed(normalizer(text), kind) for text in texts), _trainer(kind, size, min_count)
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
        """Every entry, in order of its id."""
        return self._pieces

    @property
    def spelling(self) -> list[str]:
        """What each entry adds to a text; the special ones nothing, an unknown one U+FFFD.

        A text is the concatenation of what its ids add, but for the spaces around words and at its ends.
        """
        space = " " if self.kind == "word" else ""
        known = [space + piece.replace(META, " ") for piece in self._pieces[len(SPECIALS) :]]
        return ["", space + "\ufffd", "", "", *known]

    def encode(self, text: str) -> Encoding:
        """Return the ids of `text` with their tokens and offsets; an empty text has none."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode many texts at once: an encoding for each, in order."""
        normal = [self.normalizer(text) for text in texts]
        encodings = self._backend.encode_batch([_feed(text, self.kind) for text in normal])
        return [
            Encoding(
                text, encoding.ids, encoding.tokens, self._offsets(text, clean, encoding.offsets)
            )
            for text, clean, encoding in zip(texts, normal, encodings, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, without padding, BOS and EOS; an unknown word reads `<unk>`.

        With pieces or characters this is the normal form of what was encoded; words are put
        together as people write them, without a space before a full stop or inside brackets.
        """
        return self.join([self._pieces[index] for index in ids if index not in (PAD, BOS, EOS)])

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text that tokens (of `vocabulary`, or words put in their place) make up."""
        if self.kind == "word":
            return detokenize(tokens)
        return "".join(tokens).replace(META, " ").removeprefix(" " if self.kind == "bpe" else "")

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything `load` needs into one JSON file, whole or not at all."""
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
        """Read what `save` wrote.

        Raises:
            ModelFolderError: no such file, not a tokenizer of ours, damaged, or from a newer
                version.
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

    def _offsets(self, text: str, normal: str, fed: Sequence[Span]) -> list[Span]:
        """Spans in what the backend was fed, as spans in the original text."""
        if self.kind == "bpe":  # it was fed one block in front, and one for each space
            blocks = META + normal
            fed = [
                (start if blocks[start] in (META, " ") else start - 1, end - 1)
                for start, end in fed
            ]
        if normal == text or (text.isascii() and normal == text.lower()):  # place by place
            return list(fed)
        origin = self.normalizer.align(text)
        return [
            (origin[start][0], origin[end - 1][1]) if start < end else (origin[start][0],) * 2
            for start, end in fed
        ]


def _untrained(kind: Kind) -> Backend:
    """Return a backend that splits as `kind` does and has no vocabulary yet."""
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
    """Return what learns a vocabulary of this kind."""
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


def _feed(normal: str, kind: Kind) -> str:
    """Return a normal text as the backend wants it."""
    if kind != "bpe" or not normal:
        return normal
    return META + normal.replace(" ", META)
