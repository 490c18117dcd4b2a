"""Summarisation: the contract of both kinds of summariser, and the one that writes its summary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import (
    Summary,
    while_unchanged,
)
from regard.api.tasks.model import Evaluation, Model, build_untrained, train_tokenizer
from regard.api.tasks.sources import EncodedSource
from regard.api.tasks.steering import OnTextDraft, Steering
from regard.api.tasks.text_to_text import TextToText, in_groups, references_of
from regard.api.tasks.tokens import output_tokens
from regard.choices import Task
from regard.data import Example
from regard.decoding import DecodingSettings, Hypothesis
from regard.engines import Each, Here
from regard.evaluation import Score, rouge
from regard.models import configure
from regard.models.pointer_generator import assign_copy_ids
from regard.text import BOS, EOS, UNK, Encoding, split_sentences

__all__ = ["AbstractiveSummarizer", "Summarizer", "documents_of"]


class Summarizer(Model):
    """Base class of both kinds of summariser: those that write and those that extract."""

    task: ClassVar[Task] = "summarization"
    verb: ClassVar[str] = "summarize"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "rouge1", "rouge2", "rougel")
    ties: ClassVar[tuple[str, ...]] = ("rouge1", "rouge2", "rougel", "loss")

    @abstractmethod
    def summarize(
        self,
        texts: str | Sequence[str | Sequence[str]],
        *,
        settings: DecodingSettings | None = None,
    ) -> list[Summary]:
        """Summarise some texts.

        Args:
            texts: one or several; each a text or its sentences. An empty one has an empty summary.
            settings: how to decode, for a model that writes.
        """

    @abstractmethod
    def decoding_groups(
        self, texts: Sequence[str], settings: DecodingSettings | None = None
    ) -> list[list[int]]:
        """Indices of texts that are summarised together; blank texts are in no group.

        A group that is summarised on its own is summarised as among all texts.
        """

    def floors(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """ROUGE is 0 as long as no word is right."""
        return dict.fromkeys(("rouge1", "rouge2", "rougel"), 0.0)

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """ROUGE, beside that of the first sentence."""
        references = references_of(examples)
        documents = [list(example.sentences) for example in examples]
        groups = self.decoding_groups([" ".join(document) for document in documents], settings)
        written = in_groups(documents, groups, settings, each or Here(self), _summarize_group)
        first = [example.sentences[0] for example in examples]
        return Evaluation(
            len(examples),
            rouge(written, references),
            {"first sentence": rouge(first, references)},
            note=note,
        )


def _summarize_group(
    model: Summarizer, group: tuple[list[list[str]], DecodingSettings | None]
) -> list[str]:
    return [summary.text for summary in model.summarize(group[0], settings=group[1])]


class AbstractiveSummarizer(Summarizer, TextToText[Summary]):
    """Model that writes a summary word by word and copies words it does not know (See et al. 2017)."""

    truncates_sources: ClassVar[bool] = True

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn one vocabulary from both sides of the training part."""
        texts = [t for example in examples for t in (example.text, example.target or "")]
        tokenizer = train_tokenizer(texts, settings)
        values = {**settings.model, "size": len(tokenizer)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer, tokenizer)

    def encode_sources(self, texts: Sequence[str]) -> list[EncodedSource]:
        """Texts as the network reads them; if it copies, each unknown word of a text has its own id."""
        if not self.network.copies:
            return super().encode_sources(texts)
        sources, limit = [], self.settings.text.max_tokens - 1
        for encoding in self.source_tokenizer.encode_batch(list(texts)):
            words = self._words(encoding)[:limit]
            ids, copy_ids = assign_copy_ids(words, encoding.ids[:limit], len(self.source_tokenizer))
            sources.append(EncodedSource(encoding, [*ids, EOS], copy_ids))
        return sources

    def target_ids(self, encoding: Encoding, copy_ids: Mapping[str, int]) -> list[int]:
        """Ids from BOS to EOS; words the vocabulary lacks have the ids they have in the source."""
        words = zip(self._words(encoding), encoding.ids, strict=True)
        ids = [copy_ids.get(word, UNK) if index == UNK else index for word, index in words]
        return [BOS, *ids[: self.settings.text.max_tokens - 2], EOS]

    def to_tokens(self, ids: Sequence[int], copy_ids: Mapping[str, int]) -> list[str]:
        """Written ids as tokens; a copied word is itself."""
        names = self.target_tokenizer.vocabulary
        copied = {index: word for word, index in copy_ids.items()}
        return [copied.get(index) or names[index] for index in ids]

    def _words(self, encoding: Encoding) -> list[str]:
        words = encoding.surfaces
        lowercase = self.source_tokenizer.normalizer.lowercase
        return [word.lower() for word in words] if lowercase else words

    def score(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """ROUGE-1, ROUGE-2 and ROUGE-L."""
        return rouge(written, references)

    def summarize(
        self,
        texts: str | Sequence[str | Sequence[str]],
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
        masked_out: Sequence[Sequence[int]] | None = None,
        on_draft: OnTextDraft | None = None,
    ) -> list[Summary]:
        """Summarise some texts: see `Summarizer`, and `Translator.translate` for the steering."""
        joined = [" ".join(sentences) for sentences in documents_of(texts)]
        return self.answer(
            joined, settings=settings, steering=Steering(prefix, masked_out, on_draft)
        )

    def decoding_groups(
        self, texts: Sequence[str], settings: DecodingSettings | None = None
    ) -> list[list[int]]:
        """Indices of texts that are decoded together: see `TextToText.decoding_groups`."""
        return TextToText.decoding_groups(self, texts, settings)

    def _empty_answer(self, text: str) -> Summary:
        return Summary(source=text)

    def _to_answer(self, source: EncodedSource, hypothesis: Hypothesis) -> Summary:
        written = self._output_tokens(source, hypothesis)
        tokens = output_tokens(self.target_tokenizer, written)
        return Summary(
            source=source.encoding.text,
            text=tokens.text,
            score=hypothesis.score,
            tokens=tokens.pieces,
            view=while_unchanged(
                self.network,
                lambda reading: self._view(
                    source, hypothesis.ids, written, reading or hypothesis.reading
                ),
            ),
            alignment_view=lambda reading: self._alignment_view(source, hypothesis, reading),
        )


def documents_of(texts: str | Sequence[str | Sequence[str]]) -> list[list[str]]:
    """Texts as lists of sentences; plain texts are split after full stops and the like."""
    given = [texts] if isinstance(texts, str) else texts
    return [split_sentences(text) if isinstance(text, str) else list(text) for text in given]
