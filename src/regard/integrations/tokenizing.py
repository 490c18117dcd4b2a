"""Tokens of texts and of generated ids, from the tokenizers of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regard.viewing import Tokens

__all__ = ["tokens"]


def tokens(tokenizer: Any, text: str | Sequence[int]) -> Tokens:
    """Tokenize a text, or convert token ids, with a `transformers` tokenizer.

    Args:
        tokenizer: a fast tokenizer for a text; any tokenizer for ids.
        text: a text, to which special tokens are added as for the model; or ids, for example
            generated ones.

    Returns:
        The tokens with their character offsets in the text.
    """
    if isinstance(text, str):
        encoding = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets = tuple((int(a), int(b)) for a, b in encoding["offset_mapping"])
        names = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
        pieces = tuple(text[a:b] or name for (a, b), name in zip(offsets, names, strict=True))
        return Tokens(pieces, text, offsets, tuple(map(bool, encoding["special_tokens_mask"])))
    pieces = tuple(tokenizer.decode([i]) for i in text)
    whole = tokenizer.decode(list(text), skip_special_tokens=True)
    return Tokens.of(pieces, whole, special=tokenizer.all_special_tokens)
