"""A tokenizer that puts `[CLS]` in front of every text and `[SEP]` behind it, and knows `[MASK]`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from os import PathLike

from regard.text.normalize import Normalizer
from regard.text.tokenizer import BOS, EOS, PAD, Encoding, Kind, Tokenizer

__all__ = ["CLS_NAME", "MASK_NAME", "SEP_NAME", "MarkedTokenizer"]

CLS_NAME, SEP_NAME, MASK_NAME = "[CLS]", "[SEP]", "[MASK]"
"""Names of the marks, those of BERT (Devlin et al. 2019); their ids are BOS, EOS and the last of all."""


class MarkedTokenizer(Tokenizer):
    """Our tokenizer with the marks of BERT around every text.

    >>> words = Tokenizer.train(["red blue"], kind="word")
    >>> MarkedTokenizer(words).encode_masked("red [MASK]").tokens
    ['[CLS]', 'red', '[MASK]', '[SEP]']

    Args:
        words: the tokenizer of what is between the marks; it alone is saved.
    """

    def __init__(self, words: Tokenizer) -> None:
        self.kind: Kind = words.kind
        self.normalizer: Normalizer = words.normalizer
        self.words = words

    def __len__(self) -> int:
        return len(self.words) + 1

    @cached_property
    def _names(self) -> tuple[str, ...]:
        names = list(self.words.vocabulary)
        names[BOS], names[EOS] = CLS_NAME, SEP_NAME
        return (*names, MASK_NAME)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All entries, by id."""
        return self._names

    @property
    def mask_id(self) -> int:
        """Id of `[MASK]`."""
        return len(self.words)

    @property
    def special_tokens(self) -> frozenset[str]:
        """Tokens that belong to the model and not to a text."""
        return frozenset({self.vocabulary[PAD], CLS_NAME, SEP_NAME, MASK_NAME})

    @property
    def spelling(self) -> list[str]:
        """The characters that each entry adds to a text; none for the marks."""
        return [*self.words.spelling, ""]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts with `[CLS]` in front and `[SEP]` behind; `"[MASK]"` in a text is plain characters."""
        return [self._marked(e.text, [e]) for e in self.words.encode_batch(texts)]

    def encode_masked(self, text: str) -> Encoding:
        """Encode a text in which each `[MASK]` is one masked token."""
        return self._marked(text, self.words.encode_batch(text.split(MASK_NAME)))

    def _marked(self, text: str, parts: Sequence[Encoding]) -> Encoding:
        """One encoding of parts of a text that `[MASK]` stands between."""
        ids, tokens, offsets, start = [BOS], [CLS_NAME], [(0, 0)], 0
        for number, part in enumerate(parts):
            if number:
                ids.append(self.mask_id)
                tokens.append(MASK_NAME)
                offsets.append((start, start + len(MASK_NAME)))
                start += len(MASK_NAME)
            ids += part.ids
            tokens += part.tokens
            offsets += [(start + a, start + b) for a, b in part.offsets]
            start += len(part.text)
        last = len(text)
        special = frozenset({0, len(ids)})
        return Encoding(text, [*ids, EOS], [*tokens, SEP_NAME], [*offsets, (last, last)], special)

    def join(self, tokens: Sequence[str]) -> str:
        """Text of some tokens, marks written as they are called."""
        known = set(self.words.vocabulary)
        plain = [token if token in known else f"▁{token}" for token in tokens]
        return self.words.join(plain)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tokenizer of what is between the marks."""
        self.words.save(path)
