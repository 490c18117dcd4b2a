"""Extractive summarisation: the sentences of a text that say most."""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows `network` to the contract of its task; nobody assigns another kind of network.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import (
    Summary,
    check_no_reading,
    empty_text_error,
    while_unchanged,
    without_reading,
)
from regard.api.tasks.model import (
    EncodedExamples,
    build_untrained,
    device_of,
    network_from_config,
    read_tokenizer,
    train_tokenizer,
)
from regard.api.tasks.records import Maps
from regard.api.tasks.summarization import Summarizer, documents_of
from regard.api.tasks.text_to_text import references_of
from regard.data import Example, pad_documents
from regard.decoding import DecodingSettings, Reading
from regard.evaluation import rouge
from regard.evaluation.metrics.generation import RougeScorer
from regard.models import configure
from regard.models.extractive import SentenceExtractor
from regard.text import UNK, Tokenizer, split_sentences
from regard.training import Batch, Loss
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["ExtractiveSummarizer", "resemblance"]

TEXTS_PER_GROUP = 32
"""Texts that a worker summarises at a time."""


class ExtractiveSummarizer(Summarizer):
    """Model that picks the sentences of a summary from the text.

    Attributes:
        count: number of sentences of a summary.
    """

    network: SentenceExtractor

    def __init__(
        self, settings: RunSettings, network: nn.Module, tokenizer: Tokenizer, *, count: int
    ) -> None:
        super().__init__(settings, network)
        self.tokenizer: Tokenizer = tokenizer
        self.count: int = count

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn the vocabulary, and the usual number of sentences of a summary (the median)."""
        pairs = [(example.text, example.target or "") for example in examples]
        tokenizer = train_tokenizer([text for text, _ in pairs], settings)
        lengths = [len(split_sentences(target)) for _, target in pairs]
        values = {**settings.model, "size": len(tokenizer)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer, count=max(1, round(float(np.median(lengths)))))

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read the tokenizer."""
        tokenizer = read_tokenizer(folder, "source.json", config["model"]["size"])
        return cls(settings, network_from_config(config), tokenizer, count=config["sentences"])

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer."""
        self.tokenizer.save(folder / "source.json")
        return {"model": self.network.settings.model_dump(), "sentences": self.count}

    # Training

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Documents as the ids of their sentences; targets are their `resemblance`."""
        documents, targets = [], []
        for example in examples:
            documents.append(self.sentence_ids(example.sentences))
            targets.append(resemblance(example))
        lengths = np.array([len(d) * max(map(len, d)) for d in documents])

        def batch(indices: Sequence[int]) -> Batch:
            ids, sizes = _pad_documents([documents[i] for i in indices])
            target = torch.zeros(sizes.shape)
            for row, index in enumerate(indices):
                target[row, : len(targets[index])] = torch.tensor(targets[index])
            ones = torch.ones(len(indices), dtype=torch.int64)
            return Batch(ids, sizes, target, ones, tuple(indices))

        return EncodedExamples(lengths, batch, {})

    def sentence_ids(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of sentences as the network reads them, each cut to `max_tokens`."""
        limit = self.settings.text.max_tokens
        return [e.ids[:limit] or [UNK] for e in self.tokenizer.encode_batch(list(sentences))]

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross entropy against the distribution of `resemblance`."""
        return _loss(network(batch.source, batch.source_lengths).logits, batch)

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, and ROUGE of the extracted sentences."""
        batches = list(encoded.one_pass(32768))
        references = references_of(examples)

        def validate(network: nn.Module) -> dict[str, float]:
            device, texts, total = device_of(network), [""] * len(examples), 0.0
            for batch in (batch.to(device) for batch in batches):
                output = network(batch.source, batch.source_lengths)
                total += float(_loss(output.logits, batch).value)
                for index, picked in zip(
                    batch.indices, SentenceExtractor.best_sentences(output, self.count), strict=True
                ):
                    texts[index] = " ".join(examples[index].sentences[i] for i in picked)
            scores = rouge(texts, references)
            names = ("rouge1", "rouge2", "rougel")
            values = {name: s.value for name, s in zip(names, scores, strict=True)}
            return {"loss": total / len(examples), **values}

        return validate

    # Answering

    @torch.inference_mode()
    def summarize(
        self,
        texts: str | Sequence[str | Sequence[str]],
        *,
        settings: DecodingSettings | None = None,
    ) -> list[Summary]:
        """Summarise some texts: see `Summarizer`."""
        return [self._summary(sentences) for sentences in documents_of(texts)]

    def decoding_groups(
        self, texts: Sequence[str], settings: DecodingSettings | None = None
    ) -> list[list[int]]:
        """Indices of texts in groups: each text is read on its own, so any will do."""
        filled = [index for index, text in enumerate(texts) if text.strip()]
        return [filled[i : i + TEXTS_PER_GROUP] for i in range(0, len(filled), TEXTS_PER_GROUP)]

    def _summary(self, sentences: Sequence[str]) -> Summary:
        text = " ".join(sentences)
        if not text.strip():
            return Summary(source=text)
        ids, lengths = _pad_documents([self.sentence_ids(sentences)])
        device = device_of(self.network)
        output = self.network(ids.to(device), lengths.to(device))
        picked = SentenceExtractor.best_sentences(output, self.count)[0]
        log_probs = output.logits[0].log_softmax(-1)
        return Summary(
            source=text,
            text=" ".join(sentences[index] for index in picked),
            score=float(log_probs[picked].sum()),
            sentences=tuple(picked),
            tokens=tuple(sentences[index] for index in picked),
            view=without_reading(while_unchanged(self.network, lambda: self._view(sentences))),
        )

    # Views

    def look(
        self, text: str, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention to each sentence of `text`, and to the words in it."""
        check_no_reading(reading)
        if not text.strip():
            raise empty_text_error()
        return self._view(split_sentences(text))[1]

    @torch.no_grad()
    def _view(self, sentences: Sequence[str]) -> tuple[Maps, AttentionRecord]:
        read = self.sentence_ids(sentences)
        ids, lengths = _pad_documents([read])
        device = device_of(self.network)
        maps = self.network(ids.to(device), lengths.to(device)).maps
        over, inside = (maps[name][0].dense().cpu().double() for name in ("sentences", "words"))
        # Weight of a word in the summary: its share of its sentence, times the sentence's weight.
        shares = [over[0, 0, n] * inside[n, 0, 0, : len(ids)] for n, ids in enumerate(read)]
        tokens = {
            "reader": Tokens.of(["summary"], special=["summary"]),
            "words": self._words(sentences),
            "text": Tokens.of(list(sentences), " ".join(sentences)),
        }
        weights = {"words": torch.cat(shares)[None], "text": over[0]}
        tracks = tuple(
            Track(name, "pooling", "reader", axis, weights[axis].float().numpy())
            for name, axis in (("words", "words"), ("sentences", "text"))
        )
        title = "which sentence says most"
        return maps, AttentionRecord(tokens, tracks, title, verdict=self.verdict)

    def _words(self, sentences: Sequence[str]) -> Tokens:
        """Tokens that the network reads, with their spans in the whole text."""
        pieces: list[str] = []
        offsets: list[tuple[int, int]] = []
        start, limit = 0, self.settings.text.max_tokens
        for sentence, encoding in zip(
            sentences, self.tokenizer.encode_batch(list(sentences)), strict=True
        ):
            pieces += encoding.surfaces[:limit] or [""]
            spans = encoding.offsets[:limit] or [(0, 0)]
            offsets += [(start + i, start + j) for i, j in spans]
            start += len(sentence) + 1
        return Tokens(tuple(pieces), " ".join(sentences), tuple(offsets))


def resemblance(example: Example, *, sharpness: float = 20.0) -> list[float]:
    r"""Distribution over the sentences of an example by their ROUGE with the reference.

    .. math:: p(i) \propto \exp(20 \cdot \max_r \tfrac12 (\mathrm{R1} + \mathrm{RL})(s_i, r))

    A soft target: a near miss is nearly as good as the best sentence, and learning a single right one
    would punish it.

    Args:
        example: with references.
        sharpness: factor in the exponent, 20 in the formula.
    """
    scorer = RougeScorer()
    best = []
    for sentence in example.sentences:
        found = [scorer(reference, sentence) for reference in references_of([example])[0]]
        best.append(max((one + longest) / 2 for one, _, longest in found))
    powers = np.exp(sharpness * (np.array(best) - max(best)))
    return [float(p) for p in powers / powers.sum()]


def _loss(logits: Tensor, batch: Batch) -> Loss:
    assert batch.target is not None
    # Padding has a target of 0 and a logit of -inf, whose product would be NaN.
    log_probs = torch.where(batch.target > 0, logits.log_softmax(-1), 0.0)
    return Loss(-(batch.target * log_probs).sum(), len(batch))


def _pad_documents(documents: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    ids, lengths = pad_documents(documents)
    return torch.from_numpy(ids), torch.from_numpy(lengths)
