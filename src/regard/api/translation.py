"""Text to text: translation, and anything else written as pairs of lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from regard.api.base import (
    Evaluation,
    Model,
    Prepared,
    answer_each,
    device_of,
    network_of,
    new_network,
    padded,
)
from regard.api.records import Maps, record_of
from regard.api.settings import Settings
from regard.api.tokens import read_tokens, written_tokens
from regard.data import Example
from regard.decoding import DecodingSettings, Hypothesis, decode
from regard.evaluation import Score, bleu, chrf, exact_match
from regard.models import KINDS, EncoderDecoder, configure
from regard.text import BOS, EOS, Encoding, Tokenizer
from regard.training import Batch, Loss, Ragged, smoothed_cross_entropy
from regard.training.batches import pair_batch
from regard.viewing import AttentionRecord

__all__ = ["Translation", "Translator"]


@dataclass(frozen=True, eq=False)
class Translation:
    """One text and what became of it.

    Attributes:
        source: the text that came.
        text: the translation; empty for an empty source.
        score: of the hypothesis: its log-probability over the length penalty, in nats.
        tokens: of the translation.
        source_tokens: of the source, with the end mark.
        alignment: `(tokens, source tokens)`: where the decoder looked, averaged over heads, along
            the beam's own ancestry.
        alternatives: the other hypotheses of an n-best list, best first.
    """

    source: str
    text: str
    score: float
    tokens: tuple[str, ...]
    source_tokens: tuple[str, ...]
    alignment: NDArray[np.float32]
    alternatives: tuple[Translation, ...] = ()
    _seen: Callable[[], tuple[Maps, AttentionRecord]] | None = field(default=None, repr=False)

    @property
    def maps(self) -> Maps:
        """Attention by place (`"encoder"`, `"decoder"`, `"cross"`), one map a layer, exact."""
        return self._views[0] if self.text else {}

    def look(self) -> AttentionRecord:
        """Everything it attended to, ready to be shown or saved."""
        return self._views[1]

    @cached_property
    def _views(self) -> tuple[Maps, AttentionRecord]:
        assert self._seen is not None
        return self._seen()

    def word_alignment(self) -> list[tuple[int, int]]:
        """Pairs `(source word, target word)` from 0: for each target word where it looked most."""
        record = self.look().select(kind="cross", layer=-1).without_special().words()
        track = record.tracks[-1]
        weights = track.dense()
        return [(int(row.argmax()), place) for place, row in enumerate(weights) if row.size]


class Translator(Model):
    """Writes a text for a text."""

    task: ClassVar = "translation"
    verb: ClassVar = "translate"
    network: EncoderDecoder

    def __init__(
        self, settings: Settings, network: nn.Module, source: Tokenizer, target: Tokenizer
    ) -> None:
        super().__init__(settings, network)
        self.source, self.target = source, target

    # Making one

    @classmethod
    def learn(cls, examples: Sequence[Example], settings: Settings) -> Self:
        """Learn tokenizers from the training part; one for both sides if the model is `joint`."""
        sources = [example.text for example in examples]
        targets = [example.target or "" for example in examples]
        defaults = KINDS[settings.kind][0].model_fields
        joint = settings.model.get("joint", defaults["joint"].default)
        if joint:
            source = target = _tokenizer(sources + targets, settings)
        else:
            source, target = _tokenizer(sources, settings), _tokenizer(targets, settings)
        sizes = {"source_size": len(source), "target_size": len(target)}
        values = {**settings.model, **sizes}
        network = new_network(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, source, target)

    @classmethod
    def restore(cls, folder: Path, settings: Settings, config: Mapping[str, Any]) -> Self:
        """Read tokenizers and settings."""
        source = Tokenizer.load(folder / "source.json")
        target = Tokenizer.load(folder / "target.json")
        return cls(settings, network_of(config), source, target)

    def save_text(self, folder: Path) -> dict[str, Any]:
        """Write both tokenizers."""
        self.source.save(folder / "source.json")
        self.target.save(folder / "target.json")
        return {"model": self.network.settings.model_dump()}

    # Training it

    def prepare(self, examples: Sequence[Example], *, training: bool) -> Prepared:
        """Sources end in EOS; targets run from BOS to EOS."""
        sources = Ragged(_ended(self.source, (example.text for example in examples)))
        targets = Ragged(
            [BOS, *ids]
            for ids in _ended(self.target, (example.target or "" for example in examples))
        )
        lengths = np.stack([sources.lengths, targets.lengths], axis=1)
        limit = self.settings.text.max_tokens
        kept = np.arange(len(lengths))
        if training:
            kept = np.flatnonzero((lengths <= limit).all(axis=1))
        skipped = {f"longer than {limit} tokens": len(lengths) - len(kept)}
        return Prepared(
            lengths[kept],
            lambda indices: pair_batch(sources, targets, kept[indices].tolist()),
            {reason: count for reason, count in skipped.items() if count},
        )

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Label-smoothed cross entropy over target tokens, and what the model adds to it."""
        return _loss(network, batch, self.settings.training.label_smoothing)

    def validator(self, examples: Sequence[Example]) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, and scores of what it writes (greedily) for the first thousand examples."""
        prepared = self.prepare(examples, training=False)
        batches = list(prepared.once())
        some = list(examples)[:1000]
        texts, references = (
            [e.text for e in some],
            [e.references or (e.target or "",) for e in some],
        )

        def validate(network: nn.Module) -> dict[str, float]:
            device = device_of(network)
            losses = [_loss(network, batch.to(device), 0.0) for batch in batches]
            loss = float(sum(loss.value for loss in losses)) / sum(loss.count for loss in losses)
            written = self.write(texts, settings=DecodingSettings(method="greedy"))
            scores = bleu(written, references), exact_match(written, references)
            return {"loss": loss, "bleu": scores[0].value, "exact": scores[1].value}

        return validate

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
    ) -> Evaluation:
        """BLEU, chrF and exact matches, beside giving back the source as it is."""
        references = [example.references or (example.target or "",) for example in examples]
        written = self.write([example.text for example in examples], settings=settings)
        copied = [example.text for example in examples]
        return Evaluation(
            len(examples),
            _figures(written, references),
            {"copy of the source": _figures(copied, references)},
            note=note,
        )

    # Using it

    def write(self, texts: Sequence[str], *, settings: DecodingSettings | None = None) -> list[str]:
        """Only the best text for each: what scoring needs."""

        def answer(filled: list[str]) -> list[str]:
            _, found = self._decode(filled, settings)
            return [self.target.decode(hypotheses[0].ids) for hypotheses in found]

        return answer_each(texts, answer, lambda _: "")

    def translate(
        self,
        texts: str | Sequence[str],
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
    ) -> list[Translation]:
        """Translate some texts.

        Args:
            texts: one or several; an empty one has an empty translation.
            settings: how to decode; `None` as the model was trained to.
            prefix: what each translation must begin with.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        begin = dict(zip(texts, prefix, strict=True)) if prefix else None

        def answer(filled: list[str]) -> list[Translation]:
            encodings, found = self._decode(filled, settings, begin)
            return [self._answer(*pair) for pair in zip(encodings, found, strict=True)]

        return answer_each(texts, answer, _nothing)

    def look(self, text: str, target: str | None = None) -> AttentionRecord:
        """What the model attends to while it translates `text`, or writes a given `target`."""
        encoding = self.source.encode(text)
        if target is None:
            return self.translate(text)[0].look()
        return self._view(encoding, self.target.encode(target).ids)[1]

    def _decode(
        self,
        texts: list[str],
        settings: DecodingSettings | None,
        begin: Mapping[str, str] | None = None,
    ) -> tuple[list[Encoding], list[list[Hypothesis]]]:
        encodings = self.source.encode_batch(texts)
        ids, lengths = padded([[*e.ids, EOS] for e in encodings], device_of(self.network))
        prefix = [self.target.encode(begin[text]).ids for text in texts] if begin else None
        settings = settings or self.settings.decoding
        return encodings, decode(self.network, ids, lengths, settings, prefix=prefix)

    def _answer(self, encoding: Encoding, found: list[Hypothesis]) -> Translation:
        best, *others = (self._translation(encoding, hypothesis) for hypothesis in found)
        return replace(best, alternatives=tuple(others))

    def _translation(self, encoding: Encoding, hypothesis: Hypothesis) -> Translation:
        tokens = written_tokens(self.target, hypothesis.ids)
        return Translation(
            source=encoding.text,
            text=self.target.decode(hypothesis.ids),
            score=hypothesis.score,
            tokens=tokens.pieces[1:],
            source_tokens=read_tokens(encoding).pieces,
            alignment=hypothesis.alignment,
            _seen=lambda: self._view(encoding, hypothesis.ids),
        )

    @torch.no_grad()
    def _view(self, encoding: Encoding, written: Sequence[int]) -> tuple[Maps, AttentionRecord]:
        device = device_of(self.network)
        source, lengths = padded([[*encoding.ids, EOS]], device)
        target, _ = padded([[BOS, *written]], device)
        maps = self.network(source, lengths, target).maps
        tokens = {"source": read_tokens(encoding), "target": written_tokens(self.target, written)}
        return maps, record_of(maps, tokens, reading=_READING, title=encoding.text)


_READING = "at the step where the target token enters the decoder"


def _loss(network: nn.Module, batch: Batch, smoothing: float) -> Loss:
    assert batch.target is not None
    output = network(batch.source, batch.source_lengths, batch.target[:, :-1])
    count = int(batch.target_lengths.sum())
    value = smoothed_cross_entropy(output.logits, batch.target[:, 1:], smoothing=smoothing)
    if output.penalty is not None:
        value = value + output.penalty * count
    return Loss(value, count)


def _ended(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    return [[*encoding.ids, EOS] for encoding in tokenizer.encode_batch(list(texts))]


def _tokenizer(texts: list[str], settings: Settings) -> Tokenizer:
    text = settings.text
    return Tokenizer.train(
        texts,
        kind=text.tokenizer,
        size=text.vocabulary,
        lowercase=text.lowercase,
        min_count=text.min_count,
    )


def _nothing(text: str) -> Translation:
    return Translation(text, "", 0.0, (), (), np.zeros((0, 0), dtype=np.float32))


def _figures(written: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[Score, ...]:
    return bleu(written, references), chrf(written, references), exact_match(written, references)
