"""Reading: a pretrained network without a task of its own, whose attention can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Never, Self

import torch
from torch import nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import check_no_reading, empty_text_error
from regard.api.tasks.model import EncodedExamples, Evaluation, Model, device_of, pad_batch
from regard.api.tasks.records import make_record
from regard.api.tasks.tokens import input_tokens
from regard.choices import Task
from regard.data import Example
from regard.decoding import DecodingSettings, Reading
from regard.engines import Each
from regard.errors import InputError
from regard.text import TextOrPair, Tokenizer, to_text
from regard.training import Batch, Loss
from regard.viewing import AttentionRecord

__all__ = ["Encoder"]


class Encoder(Model):
    """Model that reads a text and gives no answer: an encoder without a head for one of our tasks."""

    task: ClassVar[Task] = "language"
    verb: ClassVar[str] = "look"
    answers: ClassVar[bool] = False

    def __init__(self, settings: RunSettings, network: nn.Module, tokenizer: Tokenizer) -> None:
        super().__init__(settings, network)
        self.tokenizer = tokenizer

    def look(
        self, text: TextOrPair, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention while the network reads `text`, or both texts of a pair."""
        if target is not None:
            raise InputError("an encoder writes no text, so it takes no target")
        check_no_reading(reading)
        read = to_text(text)
        if not read.strip():
            raise empty_text_error()
        encoding = self.tokenizer.encode(read).first(self.settings.text.max_tokens)
        with torch.no_grad():
            maps = self.network(*pad_batch([encoding.ids], device_of(self.network))).maps
        tokens = {"text": input_tokens(encoding, end=False)}
        return make_record(maps, tokens, title=read, verdict=self.verdict)

    @property
    def reads_pairs(self) -> bool:
        """Whether its tokenizer puts marks between two texts."""
        return self.tokenizer.marks_pairs

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Refuse: it learns nothing here."""
        _refuse()

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Refuse: `regard train` writes no such folder."""
        _refuse()

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Refuse: its tokenizer is saved with it."""
        _refuse()

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Refuse: it learns nothing here."""
        _refuse()

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Refuse: it learns nothing here."""
        _refuse()

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Refuse: it gives no answer."""
        _refuse()

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """Refuse: it gives no answer that could be right or wrong."""
        _refuse()


def _refuse() -> Never:
    raise InputError(
        "this model only reads: it has no head that gives an answer (labels, a translation, a next word); "
        "'regard look' shows its attention"
    )
