"""Translation, and any other task written as pairs of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import ClassVar, Self

from regard.api.config.settings import RunSettings
from regard.api.tasks.alignment import choose_alignment_of
from regard.api.tasks.answers import Translation, while_unchanged
from regard.api.tasks.model import Evaluation, build_untrained, train_tokenizer
from regard.api.tasks.sources import EncodedSource, source_tokens
from regard.api.tasks.steering import OnTextDraft, Steering
from regard.api.tasks.text_to_text import TextToText, references_of
from regard.api.tasks.tokens import output_tokens
from regard.choices import Task
from regard.data import Example
from regard.decoding import DecodingSettings, Hypothesis
from regard.engines import Each
from regard.evaluation import Score, bleu, chrf, count_with_4grams, exact_match
from regard.evaluation.alignment.choice import AlignmentChoice
from regard.models import KINDS, AlignmentSettings, configure

__all__ = ["Translator"]


class Translator(TextToText[Translation]):
    """Model that writes a text for a text."""

    task: ClassVar[Task] = "translation"
    verb: ClassVar[str] = "translate"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "bleu", "chrf", "exact_match")
    ties: ClassVar[tuple[str, ...]] = ("chrf", "exact_match", "loss")

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
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
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, source, target)

    def score(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """BLEU, chrF and exact matches."""
        return (
            bleu(written, references),
            chrf(written, references),
            exact_match(written, references),
        )

    def choose_alignment(
        self, valid: Sequence[Example], train: Sequence[Example]
    ) -> AlignmentChoice:
        """Choose the step, layer and head that agree best with the links of IBM Model 1."""
        choice = choose_alignment_of(self, valid, train)
        self.network.alignment = choice.settings
        return choice

    def floors(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """Below a BLEU of 1 there is hardly a 4-gram right; sacreBLEU's smoothing makes the figure."""
        return {"bleu": 1.0, "chrf": 0.0, "exact_match": 0.0}

    def usable_metric(
        self, references: Sequence[Example], metric: str, *, given: bool
    ) -> tuple[str, str]:
        """BLEU needs texts of four words: without one, a perfect model has a BLEU of 0.

        Where most targets are shorter, BLEU judges the few others alone, and chrF decides unless the
        user named BLEU.
        """
        if metric != "bleu":
            return metric, ""
        count, total = count_with_4grams(references_of(references)), len(references)
        if count and (given or 2 * count >= total):
            return metric, ""
        return "chrf", (
            f"{total - count:,} of {total:,} validation targets have fewer than four words, "
            "which BLEU cannot measure"
        )

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """BLEU, chrF and exact matches, beside those of an unchanged copy of the source."""
        references = references_of(examples)
        sources = [example.text for example in examples]
        cut = sum(bool(source.note) for source in self._read_sources(sources))
        remark = f"{cut:,} of {len(sources):,} sources are longer than max_tokens and were cut"
        return Evaluation(
            len(examples),
            self.score(self.write(sources, settings=settings, each=each), references),
            {"copy of the source": self.score(sources, references)},
            note="; ".join(filter(None, [note, remark if cut else ""])),
        )

    def translate(
        self,
        texts: str | Sequence[str],
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
        masked_out: Sequence[Sequence[int]] | None = None,
        on_draft: OnTextDraft | None = None,
        alignment: AlignmentSettings | None = None,
    ) -> list[Translation]:
        """Translate some texts.

        Args:
            texts: one or several; an empty one has an empty translation. Of one longer than
                `max_tokens` the beginning is translated, and `note` says so.
            settings: how to decode; `None` for the settings the model was trained with.
            prefix: for each text, the words its translation must begin with.
            masked_out: for each text, the positions of its tokens (`source_tokens`) that attention is
                knocked out from: what would it say, had it not looked there?
            on_draft: called with the index of a text and the draft of its translation after every
                step; in beam search a later draft may take words back.
            alignment: the cross-attention that says where a word looked: decoder step, layer, head.
                `None` for the model's own, `model.alignment`; `model.alignment.replace(layer=2)`
                changes one of them.

        Raises:
            SettingsError: a layer or head that the model does not have.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        steering = Steering(prefix, masked_out, on_draft)
        return self.answer(texts, settings=settings, steering=steering, alignment=alignment)

    def _empty_answer(self, text: str) -> Translation:
        return Translation(source=text, read_at=self.alignment)

    def _to_answer(self, source: EncodedSource, hypothesis: Hypothesis) -> Translation:
        written = self._output_tokens(source, hypothesis)
        tokens, read = output_tokens(self.target_tokenizer, written), source_tokens(source)
        return Translation(
            source=source.encoding.text,
            text=tokens.text,
            score=hypothesis.score,
            tokens=tokens.pieces,
            source_tokens=read.pieces,
            alignment=hypothesis.alignment,
            read_at=source.alignment,
            axes=(tokens, read),
            view=while_unchanged(
                self.network,
                lambda reading: self._view(
                    source, hypothesis.ids, written, reading or hypothesis.reading
                ),
            ),
            alignment_view=lambda reading: self._alignment_view(source, hypothesis, reading),
        )
