"""Token ids as tokens that know their place in a text."""

from __future__ import annotations

from collections.abc import Sequence

from regard.text import BOS, EOS, SPECIALS, Encoding, Tokenizer
from regard.viewing import Tokens

__all__ = ["read_tokens", "written_tokens"]


def read_tokens(encoding: Encoding, *, begin: bool = False, end: bool = True) -> Tokens:
    """The tokens of a text that was read, with the marks the model put around them."""
    last = len(encoding.text)
    pieces = [SPECIALS[BOS]] * begin + encoding.surfaces + [SPECIALS[EOS]] * end
    offsets = [(0, 0)] * begin + list(encoding.offsets) + [(last, last)] * end
    special = (True,) * begin + (False,) * len(encoding) + (True,) * end
    return Tokens(tuple(pieces), encoding.text, tuple(offsets), special)


def written_tokens(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokens:
    """The tokens of a text that was written, after the BOS they began from."""
    text = tokenizer.join(tokens)
    spans = _found(tokens, text) if tokenizer.kind == "word" else _grown(tokenizer, tokens)
    pieces = [text[start:end] or token for token, (start, end) in zip(tokens, spans, strict=True)]
    special = (True,) + (False,) * len(pieces)
    return Tokens((SPECIALS[BOS], *pieces), text, ((0, 0), *spans), special)


def _grown(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Spans of pieces: the text grows by each, a space in front being none of it."""
    spans, before = [], ""
    for count in range(1, len(tokens) + 1):
        text = tokenizer.join(tokens[:count])
        start = min(len(before), len(text))
        blank = len(text[start:]) - len(text[start:].lstrip(" "))
        spans.append((start + blank if blank < len(text) - start else start, len(text)))
        before = text
    return spans


def _found(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Spans of words, each looked for after the one before."""
    spans, at = [], 0
    for token in tokens:
        start = max(at, text.find(token, at))
        at = min(len(text), start + len(token))
        spans.append((min(start, at), at))
    return spans
