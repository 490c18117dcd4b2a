"""What models share that write a text for a text: reading, training, decoding, views."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import W, best_of, nothing_to_look_at
from regard.api.tasks.model import (
    Model,
    Prepared,
    answer_each,
    chunks_of,
    device_of,
    network_of,
    padded,
    read_tokenizer,
)
from regard.api.tasks.records import Maps, record_of
from regard.api.tasks.tokens import read_tokens, written_tokens
from regard.data import Example
from regard.decoding import (
    DecodingSettings,
    Hypothesis,
    OnDraft,
    Reading,
    decode,
    next_log_probs,
    replace_unknown,
)
from regard.errors import InputError
from regard.evaluation import Score
from regard.models import EncoderDecoder, describe_reading
from regard.text import BOS, EOS, PAD, UNK, Encoding, Tokenizer
from regard.training import Batch, Loss, Ragged, smoothed_cross_entropy
from regard.training.ragged import pair_batch
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["Hear", "Source", "Steering", "TextToText", "references_of"]


class Source(NamedTuple):
    """A text as the network reads it.

    Attributes:
        encoding: of the text.
        ids: that go in, up to EOS.
        own: ids of words that only this text has, for a network that copies.
        begun: words of the beginning that its answer was given.
    """

    encoding: Encoding
    ids: list[int]
    own: Mapping[str, int]
    begun: Sequence[str] = ()


Hear: TypeAlias = Callable[[int, str], None]
"""Told, while an answer is written, which text it is for and how it begins so far."""


@dataclass(frozen=True)
class Steering:
    """How the answers to some texts are led away from the model's own way, and who hears of them.

    Args:
        prefix: what each answer must begin with.
        hidden: for each text the places of its tokens that attention is knocked out from.
        hear: told each answer as it is written; in beam search a later word may take some back.
    """

    prefix: Sequence[str] | None = None
    hidden: Sequence[Sequence[int]] | None = None
    hear: Hear | None = None

    def filled(self, texts: Sequence[str]) -> Steering:
        """The same for those of the texts that hold something."""
        places = [place for place, text in enumerate(texts) if text.strip()]
        prefix, hidden, hear = self.prefix, self.hidden, self.hear
        for name, values in (("prefix", prefix), ("hidden", hidden)):
            if values is not None and len(values) != len(texts):
                raise InputError(f"{len(values)} of {name} for {len(texts)} texts; give one each")
        return Steering(
            None if prefix is None else [prefix[place] for place in places],
            None if hidden is None else [hidden[place] for place in places],
            None if hear is None else lambda index, text: hear(places[index], text),
        )


_FREE = Steering()


class TextToText(Model):
    """What all models share that write a text for a text."""

    network: EncoderDecoder
    cuts: ClassVar[bool] = False
    """Whether over-long sources are cut in training, rather than left out."""

    def __init__(
        self, settings: RunSettings, network: nn.Module, source: Tokenizer, target: Tokenizer
    ) -> None:
        super().__init__(settings, network)
        self.source, self.target = source, target

    @classmethod
    def restore(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read tokenizers and settings."""
        model = config["model"]
        sizes = [
            model[side if side in model else "size"] for side in ("source_size", "target_size")
        ]
        source = read_tokenizer(folder, "source.json", sizes[0])
        target = read_tokenizer(folder, "target.json", sizes[1])
        return cls(settings, network_of(config), source, target)

    def save_text(self, folder: Path) -> dict[str, Any]:
        """Write both tokenizers."""
        self.source.save(folder / "source.json")
        self.target.save(folder / "target.json")
        return {"model": self.network.settings.model_dump()}

    # Text to ids and back

    def read(self, texts: Sequence[str]) -> list[Source]:
        """Texts as the network reads them."""
        return [Source(e, [*e.ids, EOS], {}) for e in self.source.encode_batch(list(texts))]

    def aim(self, encoding: Encoding, own: Mapping[str, int]) -> list[int]:
        """What the network should write, from BOS to EOS."""
        return [BOS, *encoding.ids, EOS]

    def spell(self, ids: Sequence[int], own: Mapping[str, int]) -> list[str]:
        """Written ids as tokens."""
        names = self.target.vocabulary
        return [names[index] for index in ids]

    # Training it

    def prepare(self, examples: Sequence[Example], *, training: bool) -> Prepared:
        """Sources end in EOS; targets run from BOS to EOS."""
        sources, targets = Ragged.pairs(self._pairs(examples))
        lengths = np.stack([sources.lengths, targets.lengths], axis=1)
        limit = self.settings.text.max_tokens
        fits = (lengths <= limit).all(axis=1)
        kept = np.flatnonzero(fits) if training and not self.cuts else np.arange(len(lengths))
        left = len(lengths) - len(kept)
        return Prepared(
            lengths[kept],
            lambda indices: pair_batch(sources, targets, kept[indices].tolist()),
            {f"longer than {limit} tokens": left} if left else {},
        )

    def _pairs(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], list[int]]]:
        for some in chunks_of(examples):
            read = self.read([example.text for example in some])
            wanted = self.target.encode_batch([example.target or "" for example in some])
            for source, encoding in zip(read, wanted, strict=True):
                yield source.ids, self.aim(encoding, source.own)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Label-smoothed cross entropy over target tokens, and what the model adds to it."""
        return _loss(network, batch, self.settings.training.label_smoothing)

    def validator(self, examples: Sequence[Example]) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, and scores of what it writes (greedily) for the first thousand examples."""
        batches = list(self.prepare(examples, training=False).once())
        some = list(examples[:1000])
        texts, references = [example.text for example in some], references_of(some)
        settings = self.decoding({"method": "greedy", "n_best": 1})

        def validate(network: nn.Module) -> dict[str, float]:
            device = device_of(network)
            losses = [_loss(network, batch.to(device), 0.0) for batch in batches]
            loss = float(sum(loss.value for loss in losses)) / sum(loss.count for loss in losses)
            scores = self.figures(self.write(texts, settings=settings), references)
            return {"loss": loss, **{_plain(score.name): score.value for score in scores}}

        return validate

    @abstractmethod
    def figures(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """How good written texts are."""

    # Using it

    def write(self, texts: Sequence[str], *, settings: DecodingSettings | None = None) -> list[str]:
        """Only the best text for each: what scoring needs."""

        def answer(filled: list[str]) -> list[str]:
            return [
                self.target.join(self._spelled(source, hypotheses[0]))
                for source, hypotheses in self._decode(filled, settings)
            ]

        return answer_each(texts, answer, lambda _: "")

    def _answers(
        self,
        texts: Sequence[str],
        told: Callable[[Source, Hypothesis], W],
        empty: Callable[[str], W],
        settings: DecodingSettings | None,
        steering: Steering,
    ) -> list[W]:
        """The best answer to each text, with the others of its list."""

        def answer(filled: list[str]) -> list[W]:
            return [
                best_of(told(source, hypothesis) for hypothesis in found)
                for source, found in self._decode(filled, settings, steering)
            ]

        return answer_each(texts, answer, empty)

    def _decode(
        self,
        texts: list[str],
        settings: DecodingSettings | None,
        steering: Steering = _FREE,
    ) -> list[tuple[Source, list[Hypothesis]]]:
        read = self.read(texts)
        ids, lengths = padded([source.ids for source in read], device_of(self.network))
        prefix = None
        if steering.prefix is not None:
            begun = self.target.encode_batch(list(steering.prefix))
            pairs = zip(begun, read, strict=True)
            prefix = [self.aim(encoding, source.own)[1:-1] for encoding, source in pairs]
            pairs = zip(begun, read, strict=True)
            read = [source._replace(begun=encoding.surfaces) for encoding, source in pairs]
        found = decode(
            self.network,
            ids,
            lengths,
            settings or self.settings.decoding,
            prefix=prefix,
            masked_out=_hidden(ids, lengths, steering.hidden),
            on_draft=self._on_draft(read, steering.hear),
        )
        return list(zip(read, found, strict=True))

    def _spelled(self, source: Source, hypothesis: Hypothesis) -> list[str]:
        """Tokens of an answer; a word that is not known by what was given or looked at there."""
        tokens = self.spell(hypothesis.ids, source.own)
        if not self.settings.text.replaces:
            return tokens
        read = source.encoding.surfaces[: len(source.ids) - 1]
        tokens = replace_unknown(hypothesis, tokens, read, reading=hypothesis.reading)
        for place, word in enumerate(source.begun[: len(tokens)]):
            if hypothesis.ids[place] == UNK:
                tokens[place] = word
        return tokens

    def _on_draft(self, read: Sequence[Source], hear: Hear | None) -> OnDraft | None:
        if hear is None:
            return None
        return lambda place, ids: hear(place, self.target.join(self.spell(ids, read[place].own)))

    def read_tokens(self, text: str) -> Tokens:
        """The tokens of a text as the network reads them, with the end mark.

        `hidden` counts them.
        """
        source = self.read([text])[0]
        return read_tokens(source.encoding).take(_read_places(source))

    def next_words(
        self, text: str, begin: str = "", *, hidden: Sequence[int] = (), count: int = 5
    ) -> list[tuple[str, float]]:
        """What the answer to `text` may go on with after `begin`, likeliest first.

        Args:
            text: that is answered.
            begin: the answer so far, whole words.
            hidden: places of source tokens that attention is knocked out from.
            count: how many at most.

        Returns:
            Beginnings one token longer than `begin`, each with the probability of that token.
        """
        source = self.read([text])[0]
        ids, lengths = padded([source.ids], device_of(self.network))
        prefix = self.aim(self.target.encode(begin), source.own)[1:-1]
        log_probs = next_log_probs(
            self.network, ids, lengths, prefix, masked_out=_hidden(ids, lengths, [hidden])
        )
        log_probs[[PAD, UNK, BOS, EOS]] = -torch.inf
        best = log_probs.topk(min(count, len(log_probs) - 4))
        return [
            (self.target.join(self.spell([*prefix, token], source.own)), math.exp(log_prob))
            for token, log_prob in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def look(self, text: str, target: str | None = None) -> AttentionRecord:
        """What the model attends to while it writes its answer to `text`, or a given `target`."""
        if not text.strip():
            raise nothing_to_look_at()
        source = self.read([text])[0]
        if target is None:
            _, found = self._decode([text], None)[0]
            return self._view(source, found[0].ids, self._spelled(source, found[0]))[1]
        ids = self.aim(self.target.encode(target), source.own)[1:-1]
        return self._view(source, ids, self.spell(ids, source.own))[1]

    @torch.no_grad()
    def _view(
        self, source: Source, written: Sequence[int], spelled: Sequence[str]
    ) -> tuple[Maps, AttentionRecord]:
        device = device_of(self.network)
        ids, lengths = padded([source.ids], device)
        target, _ = padded([[BOS, *written]], device)
        maps = self.network(ids, lengths, target).maps
        tokens = self._tokens(source, spelled)
        title = source.encoding.text
        return maps, record_of(
            maps, tokens, reading=describe_reading("input"), title=title, verdict=self.verdict
        )

    def _tokens(self, source: Source, spelled: Sequence[str]) -> dict[str, Tokens]:
        return {
            "source": read_tokens(source.encoding).take(_read_places(source)),
            "target": written_tokens(self.target, spelled),
        }

    def _along(
        self, source: Source, hypothesis: Hypothesis, reading: Reading | None
    ) -> AttentionRecord:
        """What decoding kept: no pass of its own, one map."""
        hypothesis = hypothesis.aligned_at(reading or hypothesis.reading)
        tokens = self._tokens(source, self._spelled(source, hypothesis))
        written = tokens["target"].take(range(1, len(tokens["target"])))
        track = Track("cross", "cross", "target", "source", hypothesis.alignment)
        return AttentionRecord(
            {**tokens, "target": written},
            (track,),
            source.encoding.text,
            f"{describe_reading(hypothesis.reading)}, mean of heads",
            verdict=self.verdict,
        )


def references_of(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    """Every right text of each example."""
    return [example.references or (example.target or "",) for example in examples]


def _read_places(source: Source) -> list[int]:
    """Which tokens the network saw, EOS being the last: a long text may have been cut."""
    return [*range(len(source.ids) - 1), len(source.encoding)]


def _hidden(ids: Tensor, lengths: Tensor, places: Sequence[Sequence[int]] | None) -> Tensor | None:
    """Places as a Boolean `(batch, keys)`; `None` where nothing is hidden."""
    if places is None or not any(places):
        return None
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    for row, (length, chosen) in enumerate(zip(lengths.tolist(), places, strict=True)):
        for place in chosen:
            if not 0 <= place < length:
                raise InputError(
                    f"token {place} of a text of {length} cannot be hidden; count from 0"
                )
            hidden[row, place] = True
    return hidden


def _plain(name: str) -> str:
    """The name of a figure as a setting and a curve have it: `ROUGE-1` is `rouge1`."""
    return name.lower().replace("-", "").replace(" ", "_")


def _loss(network: nn.Module, batch: Batch, smoothing: float) -> Loss:
    assert batch.target is not None
    output = network(batch.source, batch.source_lengths, batch.target[:, :-1])
    count = int(batch.target_lengths.sum())
    value = smoothed_cross_entropy(output.logits, batch.target[:, 1:], smoothing=smoothing)
    if output.penalty is not None:
        value = value + output.penalty * count
    return Loss(value, count)
