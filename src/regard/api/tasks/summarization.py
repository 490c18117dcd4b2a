"""Long text to short: by writing it, copying words where that helps, or by picking sentences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import Summary, nothing_to_look_at
from regard.api.tasks.model import (
    Evaluation,
    Model,
    Prepared,
    device_of,
    network_of,
    new_network,
    read_tokenizer,
    train_tokenizer,
)
from regard.api.tasks.records import Maps
from regard.api.tasks.text_to_text import Hear, Source, Steering, TextToText, references_of
from regard.api.tasks.tokens import written_tokens
from regard.data import Example, pad_documents
from regard.decoding import DecodingSettings, Hypothesis
from regard.evaluation import Score, rouge
from regard.evaluation.metrics.generation import RougeScorer
from regard.models import configure
from regard.models.extractive import SentenceExtractor
from regard.models.pointer_generator import source_words
from regard.text import BOS, EOS, UNK, Encoding, Tokenizer, split_sentences
from regard.training import Batch, Loss
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["Picker", "Summarizer", "Writer"]


class Summarizer(Model):
    """What both ways of summarising share."""

    task: ClassVar = "summarization"
    verb: ClassVar = "summarize"
    measures: ClassVar = ("loss", "rouge1", "rouge2", "rougel")

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

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
    ) -> Evaluation:
        """ROUGE, beside the first sentence, with the best single sentence as the ceiling of picking."""
        references = references_of(examples)
        found = self.summarize([example.sentences for example in examples], settings=settings)
        first = [example.sentences[0] for example in examples]
        return Evaluation(
            len(examples),
            rouge([summary.text for summary in found], references),
            {"first sentence": rouge(first, references)},
            note=note,
        )


class Writer(Summarizer, TextToText):
    """Writes a summary word by word and copies what it has no word for (See et al. 2017)."""

    cuts: ClassVar = True

    @classmethod
    def learn(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn one vocabulary from both sides of the training part."""
        texts = [t for example in examples for t in (example.text, example.target or "")]
        tokenizer = train_tokenizer(texts, settings)
        values = {**settings.model, "size": len(tokenizer)}
        network = new_network(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer, tokenizer)

    def read(self, texts: Sequence[str]) -> list[Source]:
        """Words the vocabulary lacks get ids past its end, the same within one text."""
        read, limit = [], self.settings.text.max_tokens - 1
        for encoding in self.source.encode_batch(list(texts)):
            words = self._words(encoding)[:limit]
            ids, own = source_words(words, encoding.ids[:limit], len(self.source))
            read.append(Source(encoding, [*ids, EOS], own))
        return read

    def aim(self, encoding: Encoding, own: Mapping[str, int]) -> list[int]:
        """Unknown words have the id they have in the source."""
        words = zip(self._words(encoding), encoding.ids, strict=True)
        ids = [own.get(word, UNK) if index == UNK else index for word, index in words]
        return [BOS, *ids[: self.settings.text.max_tokens - 2], EOS]

    def spell(self, ids: Sequence[int], own: Mapping[str, int]) -> list[str]:
        """A copied word is itself."""
        names, copied = self.target.vocabulary, {index: word for word, index in own.items()}
        return [copied.get(index) or names[index] for index in ids]

    def _words(self, encoding: Encoding) -> list[str]:
        words = encoding.surfaces
        return [word.lower() for word in words] if self.source.normalizer.lowercase else words

    def figures(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """ROUGE."""
        return rouge(written, references)

    def summarize(
        self,
        texts: str | Sequence[str | Sequence[str]],
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
        hidden: Sequence[Sequence[int]] | None = None,
        hear: Hear | None = None,
    ) -> list[Summary]:
        """See `Summarizer`, and `Translator.translate` for what it can be told beside."""
        plain = [" ".join(sentences) for sentences in _documents(texts)]
        steering = Steering(prefix, hidden, hear).filled(plain)
        return self._answers(
            plain, self._summary, lambda text: Summary(source=text), settings, steering
        )

    def _summary(self, source: Source, hypothesis: Hypothesis) -> Summary:
        spelled = self._spelled(source, hypothesis)
        tokens = written_tokens(self.target, spelled)
        return Summary(
            source=source.encoding.text,
            text=tokens.text,
            score=hypothesis.score,
            tokens=tokens.pieces[1:],
            view=lambda: self._view(source, hypothesis.ids, spelled),
            along=lambda reading: self._along(source, hypothesis, reading),
        )


class Picker(Summarizer):
    """Picks the sentences that say most."""

    network: SentenceExtractor

    def __init__(
        self, settings: RunSettings, network: nn.Module, tokenizer: Tokenizer, *, count: int
    ) -> None:
        super().__init__(settings, network)
        self.tokenizer, self.count = tokenizer, count

    @classmethod
    def learn(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn the vocabulary, and how many sentences a summary has."""
        tokenizer = train_tokenizer([example.text for example in examples], settings)
        lengths = [len(split_sentences(example.target or "")) for example in examples]
        values = {**settings.model, "size": len(tokenizer)}
        network = new_network(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer, count=max(1, round(float(np.median(lengths)))))

    @classmethod
    def restore(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read tokenizer and settings."""
        tokenizer = read_tokenizer(folder, "source.json", config["model"]["size"])
        return cls(settings, network_of(config), tokenizer, count=config["sentences"])

    def save_text(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer."""
        self.tokenizer.save(folder / "source.json")
        return {"model": self.network.settings.model_dump(), "sentences": self.count}

    # Training it

    def prepare(self, examples: Sequence[Example], *, training: bool) -> Prepared:
        """Each sentence is to be picked as often as it resembles the reference (`resemblance`)."""
        documents = [self.ids(example.sentences) for example in examples]
        targets = [resemblance(example) for example in examples]
        lengths = np.array([len(d) * max(map(len, d)) for d in documents])

        def batch(indices: Sequence[int]) -> Batch:
            ids, sizes = _pad_documents([documents[i] for i in indices])
            target = torch.zeros(sizes.shape)
            for row, index in enumerate(indices):
                target[row, : len(targets[index])] = torch.tensor(targets[index])
            ones = torch.ones(len(indices), dtype=torch.int64)
            return Batch(ids, sizes, target, ones, tuple(indices))

        return Prepared(lengths, batch, {})

    def ids(self, sentences: Sequence[str]) -> list[list[int]]:
        """Sentences as the network reads them, each cut to `max_tokens`."""
        limit = self.settings.text.max_tokens
        return [e.ids[:limit] or [UNK] for e in self.tokenizer.encode_batch(list(sentences))]

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross entropy against the distribution of resemblance."""
        assert batch.target is not None
        logits = network(batch.source, batch.source_lengths).logits
        chosen = torch.where(batch.target > 0, logits.log_softmax(-1), 0.0)
        return Loss(-(batch.target * chosen).sum(), len(batch))

    def validator(self, examples: Sequence[Example]) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, and ROUGE of the sentences picked."""
        batches = list(self.prepare(examples, training=False).once(32768))
        references = references_of(examples)

        def validate(network: nn.Module) -> dict[str, float]:
            device, texts, total = device_of(network), [""] * len(examples), 0.0
            for batch in (batch.to(device) for batch in batches):
                total += float(self.loss(network, batch).value)
                output = network(batch.source, batch.source_lengths)
                for index, picked in zip(
                    batch.indices, SentenceExtractor.pick(output, self.count), strict=True
                ):
                    texts[index] = " ".join(examples[index].sentences[i] for i in picked)
            scores = rouge(texts, references)
            names = ("rouge1", "rouge2", "rougel")
            values = {name: s.value for name, s in zip(names, scores, strict=True)}
            return {"loss": total / len(examples), **values}

        return validate

    # Using it

    @torch.inference_mode()
    def summarize(
        self,
        texts: str | Sequence[str | Sequence[str]],
        *,
        settings: DecodingSettings | None = None,
    ) -> list[Summary]:
        """See `Summarizer`."""
        return [self._summary(sentences) for sentences in _documents(texts)]

    def _summary(self, sentences: Sequence[str]) -> Summary:
        text = " ".join(sentences)
        if not text.strip():
            return Summary(source=text)
        ids, lengths = _pad_documents([self.ids(sentences)])
        device = device_of(self.network)
        output = self.network(ids.to(device), lengths.to(device))
        picked = SentenceExtractor.pick(output, self.count)[0]
        scores = output.logits[0].log_softmax(-1)
        return Summary(
            source=text,
            text=" ".join(sentences[index] for index in picked),
            score=float(scores[picked].sum()),
            sentences=tuple(picked),
            tokens=tuple(sentences[index] for index in picked),
            view=lambda: self._view(sentences),
        )

    def look(self, text: str, target: str | None = None) -> AttentionRecord:
        """How much it attends to each sentence of `text`."""
        if not text.strip():
            raise nothing_to_look_at()
        return self._view(split_sentences(text))[1]

    @torch.no_grad()
    def _view(self, sentences: Sequence[str]) -> tuple[Maps, AttentionRecord]:
        read = self.ids(sentences)
        ids, lengths = _pad_documents([read])
        device = device_of(self.network)
        maps = self.network(ids.to(device), lengths.to(device)).maps
        over, inside = (maps[name][0].dense().cpu().double() for name in ("sentences", "words"))
        # What a word is to the summary: its share of its sentence, times the sentence's.
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
        """The tokens that are read, with their places in the whole text."""
        pieces: list[str] = []
        offsets: list[tuple[int, int]] = []
        at, limit = 0, self.settings.text.max_tokens
        for sentence, encoding in zip(
            sentences, self.tokenizer.encode_batch(list(sentences)), strict=True
        ):
            pieces += encoding.surfaces[:limit] or [""]
            offsets += [(at + i, at + j) for i, j in encoding.offsets[:limit]] or [(at, at)]
            at += len(sentence) + 1
        return Tokens(tuple(pieces), " ".join(sentences), tuple(offsets))


def resemblance(example: Example, *, sharpness: float = 20.0) -> list[float]:
    r"""How much each sentence resembles the reference, as a distribution.

    .. math:: p(i) \propto \exp(20 \cdot \max_r \tfrac12 (\mathrm{R1} + \mathrm{RL})(s_i, r))

    A near miss is nearly as good as the best sentence; learning a single right one would punish it.
    """
    scorer = RougeScorer()
    best = []
    for sentence in example.sentences:
        found = [scorer(reference, sentence) for reference in references_of([example])[0]]
        best.append(max((one + longest) / 2 for one, _, longest in found))
    powers = np.exp(sharpness * (np.array(best) - max(best)))
    return [float(p) for p in powers / powers.sum()]


def _documents(texts: str | Sequence[str | Sequence[str]]) -> list[list[str]]:
    given = [texts] if isinstance(texts, str) else texts
    return [split_sentences(text) if isinstance(text, str) else list(text) for text in given]


def _pad_documents(documents: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    ids, lengths = pad_documents(documents)
    return torch.from_numpy(ids), torch.from_numpy(lengths)
