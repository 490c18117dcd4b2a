"""Texts on which an exported model is compared with ours: given ones, or some made of the vocabulary."""

from __future__ import annotations

from itertools import islice

import numpy as np

from regard.api.corpus.texts import CorpusTexts, stream_texts
from regard.errors import InputError
from regard.text import SPECIALS, Tokenizer
from regard.text.marked import MarkedTokenizer

__all__ = ["MOST_TEXTS", "check_texts"]

MOST_TEXTS = 1000
"""Texts that are compared of a longer file: its first."""

_GENERATED = 64
_LONGEST = 24


def check_texts(texts: CorpusTexts | None, tokenizer: Tokenizer, longest: int) -> list[str]:
    """Texts to compare answers on, none of them blank or longer than the model reads.

    Args:
        texts: given ones; `None` makes some of random entries of the vocabulary, the same every time.
        tokenizer: of what the model reads.
        longest: most tokens of a text.

    Raises:
        InputError: no text that can be read.
    """
    if texts is None:
        return _generated(tokenizer, longest)
    read = [each.text for each in islice(stream_texts(texts), MOST_TEXTS)]
    encodings = tokenizer.encode_batch(read)
    fit = [text for text, found in zip(read, encodings, strict=True) if 0 < len(found) <= longest]
    if not fit:
        raise InputError(
            f"none of {len(read):,} texts can be compared: each is blank or longer than {longest} tokens"
        )
    return fit


def _generated(tokenizer: Tokenizer, longest: int) -> list[str]:
    # Marks around a text are the tokenizer's own.
    words = tokenizer.words if isinstance(tokenizer, MarkedTokenizer) else tokenizer
    size = len(words.vocabulary)
    random = np.random.default_rng(0)
    lengths = random.integers(1, max(2, min(_LONGEST, longest)), _GENERATED)
    first = min(len(SPECIALS), size - 1)
    texts = [words.decode(random.integers(first, size, length).tolist()) for length in lengths]
    encodings = tokenizer.encode_batch(texts)
    return [text for text, found in zip(texts, encodings, strict=True) if 0 < len(found) <= longest]
