"""`join_words.py` of an export: how words that were written make a text."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.text import words

__all__ = ["joins_words", "replaces_unknown", "save_join_words"]


def joins_words(model: Model) -> bool:
    """Whether a model writes whole words, which are joined as people write them; pieces hold their spaces."""
    if isinstance(model, TextToText):
        return model.target_tokenizer.kind == "word"
    return isinstance(model, Generator) and model.tokenizer.kind == "word"


def replaces_unknown(model: TextToText[Any]) -> bool:
    """Whether a model replaces an unknown word that it writes by one of the source, by its attention."""
    chosen = model.settings.decoding.replace_unknown
    return model.settings.text.tokenizer == "word" if chosen is None else chosen


def save_join_words(place: Path) -> None:
    """Write our own function, as a file that imports nothing."""
    source = inspect.getsource(words.detokenize)
    for ours, plain in (
        ("detokenize", "join_words"),
        ("words: Sequence[str]) -> str", "words)"),
        ("closers: list[str]", "closers"),
    ):
        source = source.replace(ours, plain)
    closing, opening = ("".join(sorted(each)) for each in (words.CLOSING, words.OPENING))
    lines = [
        '"""Words to a text."""',
        "",
        f"CLOSING = frozenset({closing!r})",
        f"OPENING = frozenset({opening!r})",
        f"QUOTES = {words.QUOTES!r}",
        "",
        "",
    ]
    (place / "join_words.py").write_text("\n".join([*lines, source]), encoding="utf-8")
