"""Tokens of inputs and outputs, with their positions in the text."""

from __future__ import annotations

from collections.abc import Sequence

from regard.models import DECODER_INPUT, Reading
from regard.text import BOS, EOS, SPECIALS, Encoding, Tokenizer
from regard.viewing import Tokens

__all__ = ["input_tokens", "output_tokens", "target_sides"]


def input_tokens(encoding: Encoding, *, begin: bool = False, end: bool = True) -> Tokens:
    """Tokens of a text that is read, with the marks the model puts around them.

    Args:
        encoding: of the text.
        begin: whether BOS is in front.
        end: whether EOS is behind.
    """
    last = len(encoding.text)
    pieces = [SPECIALS[BOS]] * begin + encoding.surfaces + [SPECIALS[EOS]] * end
    offsets = [(0, 0)] * begin + list(encoding.offsets) + [(last, last)] * end
    own = tuple(position in encoding.special for position in range(len(encoding)))
    special = (True,) * begin + own + (True,) * end
    segments = encoding.segments
    if segments:
        segments = (0,) * begin + segments + (1,) * end
    return Tokens(tuple(pieces), encoding.text, tuple(offsets), special, segments)


def output_tokens(
    tokenizer: Tokenizer, tokens: Sequence[str], *, begin: bool = False, end: bool = False
) -> Tokens:
    """Tokens of a text that was written.

    Args:
        tokenizer: of the text.
        tokens: that were written.
        begin: whether BOS, from which they began, is in front.
        end: whether EOS, which was written last, is behind.
    """
    text = tokenizer.join(tokens)
    words = tokenizer.kind == "word"
    spans = _word_spans(tokens, text) if words else _piece_spans(tokenizer, tokens)
    pieces = [text[start:end] or token for token, (start, end) in zip(tokens, spans, strict=True)]
    last = len(text)
    pieces = [SPECIALS[BOS]] * begin + pieces + [SPECIALS[EOS]] * end
    offsets = [(0, 0)] * begin + spans + [(last, last)] * end
    marks = tokenizer.special_tokens
    own = tuple(token in marks for token in tokens)
    special = (True,) * begin + own + (True,) * end
    return Tokens(tuple(pieces), text, tuple(offsets), special)


def target_sides(
    tokenizer: Tokenizer, tokens: Sequence[str], reading: Reading
) -> dict[str, Tokens]:
    """Token axes of the decoder's maps: of the rows of cross-attention, and of what the decoder read.

    Step t reads token t of the one axis and writes token t of the other. At `"input"` both are one.
    """
    read = output_tokens(tokenizer, tokens, begin=True)
    if reading == "input":
        return {"target": read}
    return {"target": output_tokens(tokenizer, tokens, end=True), DECODER_INPUT: read}


def _piece_spans(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Character span of each piece: the text after it minus the text before, without the leading space."""
    spans, before = [], ""
    for count in range(1, len(tokens) + 1):
        text = tokenizer.join(tokens[:count])
        start = min(len(before), len(text))
        blank = len(text[start:]) - len(text[start:].lstrip(" "))
        spans.append((start + blank if blank < len(text) - start else start, len(text)))
        before = text
    return spans


def _word_spans(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Character span of each word, found by searching from the end of the previous one."""
    spans, end = [], 0
    for token in tokens:
        start = max(end, text.find(token, end))
        end = min(len(text), start + len(token))
        spans.append((min(start, end), end))
    return spans
