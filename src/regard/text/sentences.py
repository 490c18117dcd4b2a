"""Split plain text into sentences."""

from __future__ import annotations

import re

__all__ = ["split_sentences"]

_END = re.compile(r"[.!?…。！？][\"'”’)\]]*(\s+)")


def split_sentences(text: str) -> list[str]:
    """Split a text after full stops and similar signs; pass sentences yourself where you have them.

    Closing quotes and brackets after the full stop belong to its sentence:

    >>> split_sentences('She said "go." He (a cook) went.')
    ['She said "go."', 'He (a cook) went.']
    """
    text = text.strip()
    gaps = [match.span(1) for match in _END.finditer(text)]
    starts, ends = [0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
