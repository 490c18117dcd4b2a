"""The tokenizers of an export, as the `tokenizers` library reads them."""

from __future__ import annotations

from pathlib import Path

from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.errors import InputError
from regard.text import Tokenizer
from regard.text.standalone import standalone

__all__ = ["save_tokenizers"]


def save_tokenizers(model: Model, place: Path) -> Tokenizer:
    """Write `tokenizer.json`, or one for each side; return the tokenizer of what the model reads."""
    if isinstance(model, TextToText):
        _save(model.source_tokenizer, place / "source_tokenizer.json")
        _save(model.target_tokenizer, place / "target_tokenizer.json")
        return model.source_tokenizer
    if isinstance(model, Classifier | ExtractiveSummarizer | Generator | MaskedLanguage):
        _save(model.tokenizer, place / "tokenizer.json")
        return model.tokenizer
    raise InputError(f"a {model.settings.kind} has no tokenizer of its own to export")


def _save(tokenizer: Tokenizer, path: Path) -> None:
    path.write_text(standalone(tokenizer).to_str(pretty=False), encoding="utf-8")
