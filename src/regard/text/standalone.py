"""Our tokenizers as those of the `tokenizers` library alone, for programs without regard."""

from __future__ import annotations

import json

from tokenizers import Regex, decoders, normalizers, processors
from tokenizers import Tokenizer as Backend

from regard.text.marked import MarkedTokenizer
from regard.text.normalize import META
from regard.text.tokenizer import BOS, EOS, SPECIALS, Tokenizer

__all__ = ["standalone"]

_SPACES = (
    r"[\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
    rf"{META}]+"
)
"""Spaces of Python's `re`, and the sign for one in a piece; `\\s` of `tokenizers` is another set."""


def standalone(tokenizer: Tokenizer) -> Backend:
    """A tokenizer of the `tokenizers` library that gives the ids of one of ours.

    Normalising and the marks around a text are parts of it. `</s>` in a text is plain characters, as in ours.

    Args:
        tokenizer: ours; words are joined by spaces when they are decoded.
    """
    marked = isinstance(tokenizer, MarkedTokenizer)
    words = tokenizer.words if isinstance(tokenizer, MarkedTokenizer) else tokenizer
    backend = words.copied_backend()
    form = {"NFC": normalizers.NFC, "NFKC": normalizers.NFKC}[words.normalizer.form]
    steps: list[normalizers.Normalizer] = [form()]
    if words.normalizer.lowercase:
        steps += [normalizers.Lowercase(), form()]
    steps += [normalizers.Replace(Regex(_SPACES), " "), normalizers.Strip()]
    if words.kind == "bpe":
        steps += [normalizers.Replace(" ", META), normalizers.Prepend(META)]
        backend.decoder = decoders.Sequence(
            [decoders.Replace(META, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    elif words.kind == "char":
        backend.decoder = decoders.Fuse()
    backend.normalizer = normalizers.Sequence(steps)
    if marked:
        first, last = SPECIALS[BOS], SPECIALS[EOS]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=[(first, BOS), (last, EOS)]
        )
    content = json.loads(backend.to_str())
    content["added_tokens"] = []  # those are found in a text
    return Backend.from_str(json.dumps(content))
