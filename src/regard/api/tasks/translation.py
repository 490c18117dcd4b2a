"""Text to text: translation, and anything else written as pairs of lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import ClassVar, Self

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import Translation
from regard.api.tasks.model import Evaluation, new_network, train_tokenizer
from regard.api.tasks.text_to_text import Hear, Source, Steering, TextToText, references_of
from regard.api.tasks.tokens import read_tokens, written_tokens
from regard.data import Example
from regard.decoding import DecodingSettings, Hypothesis
from regard.evaluation import Score, bleu, chrf, exact_match
from regard.models import KINDS, configure

__all__ = ["Translator"]


class Translator(TextToText):
    """Writes a text for a text."""

    task: ClassVar = "translation"
    verb: ClassVar = "translate"
    measures: ClassVar = ("loss", "bleu", "chrf", "exact_match")

    @classmethod
    def learn(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn tokenizers from the training part; one for both sides if the model is `joint`."""
        sources = (example.text for example in examples)
        targets = (example.target or "" for example in examples)
        default = KINDS[settings.kind][0].model_fields["joint"].default
        if settings.model.get("joint", default):
            source = target = train_tokenizer(chain(sources, targets), settings)
        else:
            source, target = (train_tokenizer(texts, settings) for texts in (sources, targets))
        sizes = {"source_size": len(source), "target_size": len(target)}
        values = {**settings.model, **sizes}
        network = new_network(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, source, target)

    def figures(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """BLEU, chrF and exact matches."""
        return (
            bleu(written, references),
            chrf(written, references),
            exact_match(written, references),
        )

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
    ) -> Evaluation:
        """BLEU, chrF and exact matches, beside giving back the source as it is."""
        references = references_of(examples)
        copied = [example.text for example in examples]
        return Evaluation(
            len(examples),
            self.figures(self.write(copied, settings=settings), references),
            {"copy of the source": self.figures(copied, references)},
            note=note,
        )

    def translate(
        self,
        texts: str | Sequence[str],
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
        hidden: Sequence[Sequence[int]] | None = None,
        hear: Hear | None = None,
    ) -> list[Translation]:
        """Translate some texts.

        Args:
            texts: one or several; an empty one has an empty translation.
            settings: how to decode; `None` as the model was trained to.
            prefix: what each translation must begin with.
            hidden: for each text the places of its tokens (`source_tokens`) that attention is knocked
                out from: what would it say, had it not looked there?
            hear: told each translation as it is written; in beam search a later word may take some
                back.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        steering = Steering(prefix, hidden, hear).filled(texts)
        return self._answers(
            texts, self._translation, lambda text: Translation(source=text), settings, steering
        )

    def _translation(self, source: Source, hypothesis: Hypothesis) -> Translation:
        spelled = self._spelled(source, hypothesis)
        written = written_tokens(self.target, spelled)
        tokens, sources = written.take(range(1, len(written))), read_tokens(source.encoding)
        return Translation(
            source=source.encoding.text,
            text=tokens.text,
            score=hypothesis.score,
            tokens=tokens.pieces,
            source_tokens=sources.pieces,
            alignment=hypothesis.alignment,
            axes=(tokens, sources),
            view=lambda: self._view(source, hypothesis.ids, spelled),
            along=lambda reading: self._along(source, hypothesis, reading),
        )
