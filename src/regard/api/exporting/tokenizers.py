"""The tokenizers of an export, as the `tokenizers` library reads them, and the comparison of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tokenizers import Tokenizer as Backend

from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.errors import InputError
from regard.integrations.pretrained.tokenizer import PretrainedTokenizer
from regard.text import Tokenizer
from regard.text.standalone import standalone

__all__ = ["Reading", "reading_of", "save_tokenizers", "tokens_equal"]


class Reading(NamedTuple):
    """How a model reads a text.

    Attributes:
        file: of the exported tokenizer.
        tokenizer: ours.
        longest: tokens that are read at most, without an end mark that the model adds.
        kept: which end of a longer text is read.
    """

    file: str
    tokenizer: Tokenizer
    longest: int
    kept: Literal["first", "last"] = "first"

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of some texts, cut as the model cuts them, as the exported tokenizer numbers them."""
        found = self.tokenizer.encode_batch(texts)
        if isinstance(self.tokenizer, PretrainedTokenizer):
            cut = [encoding.first(self.longest).ids for encoding in found]
            return [self.tokenizer.their_ids(ids) for ids in cut]
        if self.kept == "last":
            return [encoding.ids[-self.longest :] for encoding in found]
        return [encoding.first(self.longest).ids for encoding in found]


def reading_of(model: Model) -> Reading:
    """How a model reads a text.

    Raises:
        InputError: it has no tokenizer of its own.
    """
    longest = model.settings.text.max_tokens
    if isinstance(model, TextToText):
        positions = model.network.max_positions
        longest = longest if positions is None else min(longest, positions)
        return Reading("source_tokenizer.json", model.source_tokenizer, longest - 1)
    if isinstance(model, Generator):
        return Reading("tokenizer.json", model.tokenizer, longest, "last")
    if isinstance(model, Classifier | ExtractiveSummarizer | MaskedLanguage):
        return Reading("tokenizer.json", model.tokenizer, longest)
    raise InputError(f"a {model.settings.kind} has no tokenizer of its own to export")


def save_tokenizers(model: Model, place: Path) -> Reading:
    """Write `tokenizer.json`, or one for each side; return how the model reads.

    What it reads is cut by the tokenizer, as regard cuts it: a longer text has the same answer there.
    """
    reading = reading_of(model)
    backend = _backend(reading.tokenizer)
    side = "left" if reading.kept == "last" else "right"
    backend.enable_truncation(reading.longest, direction=side)
    _save(backend, place / reading.file)
    if isinstance(model, TextToText):
        _save(standalone(model.target_tokenizer), place / "target_tokenizer.json")
    return reading


def _backend(tokenizer: Tokenizer) -> Backend:
    """A tokenizer of the `tokenizers` library that works alone."""
    if not isinstance(tokenizer, PretrainedTokenizer):
        return standalone(tokenizer)
    backend = Backend.from_str(tokenizer.backend.backend_tokenizer.to_str())
    backend.no_padding()
    return backend


def _save(backend: Backend, path: Path) -> None:
    path.write_text(backend.to_str(pretty=False), encoding="utf-8")


def tokens_equal(reading: Reading, place: Path, texts: Sequence[str]) -> float:
    """Share of texts of which the exported tokenizer makes our tokens, one of all of them together, too.

    That one is long, so that it is cut.
    """
    texts = [*texts, " ".join([*texts] * (1 + reading.longest // max(1, len(texts))))]
    backend = Backend.from_file(str(place / reading.file))
    theirs = [encoding.ids for encoding in backend.encode_batch(texts)]
    pairs = zip(reading.ids(texts), theirs, strict=True)
    return sum(ours == other for ours, other in pairs) / len(texts)
