"""Shared parts of the models that write a text for a text: encoding, training, decoding, views."""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows `network` to the contract of its task; nobody assigns another kind of network.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import (
    A,
    best_with_alternatives,
    empty_text_error,
    noted,
    shortfall,
)
from regard.api.tasks.model import (
    EncodedExamples,
    Model,
    answer_nonempty,
    device_of,
    in_chunks,
    network_from_config,
    pad_batch,
    read_tokenizer,
)
from regard.api.tasks.records import Maps, make_record
from regard.api.tasks.sources import EncodedSource, cut_source, source_tokens
from regard.api.tasks.steering import OnTextDraft, Steering, check_prefix, positions_mask
from regard.api.tasks.tokens import output_tokens, target_sides
from regard.data import Example
from regard.data.ragged import Ragged
from regard.decoding import (
    DecodingSettings,
    Hypothesis,
    OnDraft,
    Reading,
    decode,
    next_log_probs,
    replace_unknown,
)
from regard.decoding.search import decoding_batches
from regard.engines import Each
from regard.evaluation import Score
from regard.evaluation.alignment.choice import AlignmentChoice
from regard.models import AlignmentSettings, EncoderDecoder, describe_reading
from regard.text import BOS, EOS, PAD, UNK, Encoding, Tokenizer
from regard.training import Batch, Loss, cross_entropy_loss
from regard.training.batch import pair_batch
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["TextToText", "in_groups", "references_of"]

S = TypeVar("S")


class TextToText(Model, Generic[A]):
    """Base class of models that write a text for a text.

    A subclass says which scores its texts get, and what its answers are made of.
    """

    writes: ClassVar[bool] = True
    network: EncoderDecoder
    truncates_sources: ClassVar[bool] = False
    """Whether over-long sources are cut in training, rather than left out."""

    def __init__(
        self, settings: RunSettings, network: nn.Module, source: Tokenizer, target: Tokenizer
    ) -> None:
        super().__init__(settings, network)
        self.source_tokenizer: Tokenizer = source
        self.target_tokenizer: Tokenizer = target

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read both tokenizers."""
        model = config["model"]
        sizes = [
            model[side if side in model else "size"] for side in ("source_size", "target_size")
        ]
        source = read_tokenizer(folder, "source.json", sizes[0])
        target = read_tokenizer(folder, "target.json", sizes[1])
        network = network_from_config(config)
        assert isinstance(network, EncoderDecoder)
        if "alignment" in config:  # else of a run that is not finished, or of an earlier version
            network = network.with_alignment(
                AlignmentChoice.from_json(config["alignment"]).settings
            )
        return cls(settings, network, source, target)

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write both tokenizers."""
        self.source_tokenizer.save(folder / "source.json")
        self.target_tokenizer.save(folder / "target.json")
        return {"model": self.network.settings.model_dump()}

    @property
    def alignment(self) -> AlignmentSettings:
        """The cross-attention that says where a word looked: decoder step, layer and head."""
        return self.network.alignment

    def alignment_at(
        self, reading: Reading | None, *, head: int | None = None
    ) -> AlignmentSettings:
        """The cross-attention that its default view shows."""
        alignment = self.alignment.replace(reading=reading or self.alignment.reading)
        return alignment if head is None else alignment.replace(head=None)

    # Text to ids and back

    def encode_sources(self, texts: Sequence[str]) -> list[EncodedSource]:
        """Texts as the network reads them."""
        encodings = self.source_tokenizer.encode_batch(list(texts))
        return [EncodedSource(encoding, [*encoding.ids, EOS], {}) for encoding in encodings]

    def _read_sources(self, texts: Sequence[str]) -> list[EncodedSource]:
        """Texts to be answered, each cut to the longest source the network was made for.

        The cost of a longer one grows with the square of its length, and its answer is none that training
        ever showed.
        """
        longest = self.settings.text.max_tokens
        if self.network.max_positions is not None:
            longest = min(longest, self.network.max_positions)
        return [cut_source(source, longest) for source in self.encode_sources(texts)]

    def target_ids(self, encoding: Encoding, copy_ids: Mapping[str, int]) -> list[int]:
        """Ids the network should write, from BOS to EOS."""
        return [BOS, *encoding.ids, EOS]

    def to_tokens(self, ids: Sequence[int], copy_ids: Mapping[str, int]) -> list[str]:
        """Written ids as tokens."""
        names = self.target_tokenizer.vocabulary
        return [names[index] for index in ids]

    # Training

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Sources end in EOS; targets run from BOS to EOS."""
        sources, targets = Ragged.pairs(self._id_pairs(examples))
        lengths = np.stack([sources.lengths, targets.lengths], axis=1)
        limit = self.settings.text.max_tokens
        fits = (lengths <= limit).all(axis=1)
        drop = training and not self.truncates_sources
        kept = np.flatnonzero(fits) if drop else np.arange(len(lengths))
        dropped = len(lengths) - len(kept)
        return EncodedExamples(
            lengths[kept],
            lambda indices: pair_batch(sources, targets, kept[indices].tolist()),
            {f"longer than {limit} tokens": dropped} if dropped else {},
        )

    def _id_pairs(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], list[int]]]:
        for chunk in in_chunks(examples):
            sources = self.encode_sources([example.text for example in chunk])
            targets = self.target_tokenizer.encode_batch([e.target or "" for e in chunk])
            for source, target in zip(sources, targets, strict=True):
                yield source.ids, self.target_ids(target, source.copy_ids)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Label-smoothed cross entropy of the target tokens, plus the model's own penalty."""
        return _loss(network, batch, self.settings.training.label_smoothing)

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, and scores of the texts it writes (greedily) for the first thousand examples."""
        batches = list(encoded.one_pass())
        scored = list(examples[:1000])
        texts, references = [example.text for example in scored], references_of(scored)
        settings = self.decoding_settings({"method": "greedy", "n_best": 1})

        def validate(network: nn.Module) -> dict[str, float]:
            device = device_of(network)
            losses = [_loss(network, batch.to(device), 0.0) for batch in batches]
            loss = float(sum(loss.value for loss in losses)) / sum(loss.count for loss in losses)
            scores = self.score(self.write(texts, settings=settings), references)
            return {"loss": loss, **{score.metric: score.value for score in scores}}

        return validate

    def decoding_note(self, examples: int) -> str:
        """Validations decode greedily, which is fast; final scores as the model answers."""
        settings = self.settings.decoding
        if settings.method == "greedy":
            return ""
        how = f"beam search of {settings.beam}" if settings.method == "beam" else "sampling"
        return (
            f"Decoded by {how}; the weights were chosen by greedy decoding of the same "
            f"{min(examples, 1000):,} examples."
        )

    @abstractmethod
    def score(
        self, written: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, ...]:
        """Scores of written texts against their references."""

    # Answering

    @abstractmethod
    def _to_answer(self, source: EncodedSource, hypothesis: Hypothesis) -> A:
        """Answer of one decoded hypothesis."""

    @abstractmethod
    def _empty_answer(self, text: str) -> A:
        """Answer to a blank text, which is never decoded."""

    def answer(
        self,
        texts: Sequence[str],
        *,
        settings: DecodingSettings | None = None,
        steering: Steering | None = None,
        alignment: AlignmentSettings | None = None,
    ) -> list[A]:
        """Best answer to each text, the rest of its n-best list as alternatives.

        Args:
            texts: blank ones have empty answers; over-long ones are cut, and `note` says so.
            settings: how to decode; `None` for the model's own settings.
            steering: interventions, one for each text.
            alignment: the cross-attention that says where a word looked, for links, unknown words and
                views of the answers; `None` for the model's own.
        """
        steering = (steering or Steering()).of_nonempty(texts)
        settings = settings or self.settings.decoding

        def decoded(nonempty: list[str]) -> list[A]:
            return [
                best_with_alternatives(
                    noted(self._to_answer(source, h), source.note, shortfall(h, settings))
                    for h in hypotheses
                )
                for source, hypotheses in self._decode(nonempty, settings, steering, alignment)
            ]

        return answer_nonempty(texts, decoded, self._empty_answer)

    def decoding_groups(
        self, texts: Sequence[str], settings: DecodingSettings | None = None
    ) -> list[list[int]]:
        """Indices of texts that are decoded together; blank texts, which are not, are in none.

        A group that is decoded on its own is decoded as among all texts.
        """
        filled = [index for index, text in enumerate(texts) if text.strip()]
        if not filled:
            return []
        lengths = [len(source.ids) for source in self._read_sources([texts[i] for i in filled])]
        groups = decoding_batches(torch.tensor(lengths), settings or self.settings.decoding)
        return [[filled[index] for index in group.tolist()] for group in groups]

    def write(
        self,
        texts: Sequence[str],
        *,
        settings: DecodingSettings | None = None,
        each: Each | None = None,
    ) -> list[str]:
        """Text of the best answer to each text, without its tokens and attention.

        Args:
            texts: blank ones have empty answers.
            settings: how to decode; `None` for the model's own settings.
            each: writes group after group (`decoding_groups`); `None` decodes in this process.
        """
        if each is not None:
            return in_groups(
                texts, self.decoding_groups(texts, settings), settings, each, _write_group
            )

        def decoded(nonempty: list[str]) -> list[str]:
            return [
                self.target_tokenizer.join(self._output_tokens(source, hypotheses[0]))
                for source, hypotheses in self._decode(nonempty, settings, Steering())
            ]

        return answer_nonempty(texts, decoded, lambda _: "")

    def _decode(
        self,
        texts: list[str],
        settings: DecodingSettings | None,
        steering: Steering,
        alignment: AlignmentSettings | None = None,
    ) -> list[tuple[EncodedSource, list[Hypothesis]]]:
        """Hypotheses for texts that are not blank, beside what the network read."""
        settings = settings or self.settings.decoding
        replaces = settings.replace_unknown
        if replaces is None:
            replaces = self.settings.text.tokenizer == "word"
        network = self.network if alignment is None else self.network.with_alignment(alignment)
        sources = [
            source._replace(replaces=replaces, alignment=network.alignment)
            for source in self._read_sources(texts)
        ]
        ids, lengths = pad_batch([source.ids for source in sources], device_of(self.network))
        first = list(self.target_tokenizer.first_ids)
        prefix_ids = [first for _ in sources] if first else None
        if steering.prefix is not None:
            prefixes = self.target_tokenizer.encode_batch(list(steering.prefix))
            for encoding in prefixes:
                check_prefix(encoding, self.settings.text.max_tokens)
            prefix_ids = [
                self._prefix_ids(encoding, source)
                for encoding, source in zip(prefixes, sources, strict=True)
            ]
            sources = [
                source._replace(prefix_tokens=encoding.surfaces)
                for encoding, source in zip(prefixes, sources, strict=True)
            ]
        found = decode(
            network,
            ids,
            lengths,
            settings,
            prefix=prefix_ids,
            masked_out=positions_mask(ids, lengths, steering.masked_out),
            on_draft=self._on_draft_ids(sources, steering.on_draft),
        )
        return list(zip(sources, found, strict=True))

    def _prefix_ids(self, prefix: Encoding, source: EncodedSource) -> list[int]:
        """Ids that an answer begins with: those of a prefix, after what every answer begins with."""
        ids = self.target_ids(prefix, source.copy_ids)[1:-1]
        first = list(self.target_tokenizer.first_ids)
        return ids if ids[: len(first)] == first else [*first, *ids]

    def _on_draft_ids(
        self, sources: Sequence[EncodedSource], on_draft: OnTextDraft | None
    ) -> OnDraft | None:
        """Callback of the decoder, which knows ids, that passes drafts on as text."""
        if on_draft is None:
            return None

        def on_draft_ids(row: int, ids: list[int]) -> None:
            tokens = self.to_tokens(ids, sources[row].copy_ids)
            on_draft(row, self.target_tokenizer.join(tokens))

        return on_draft_ids

    def _output_tokens(self, source: EncodedSource, hypothesis: Hypothesis) -> list[str]:
        """Tokens of an answer, unknown words replaced by the prefix's or the attended source word."""
        tokens = self.to_tokens(hypothesis.ids, source.copy_ids)
        if not source.replaces:
            return tokens
        read, count = source.encoding, len(source.ids) - 1
        tokens = replace_unknown(hypothesis, tokens, read.surfaces[:count], read.ids[:count])
        for position, word in enumerate(source.prefix_tokens[: len(tokens)]):
            if hypothesis.ids[position] == UNK:
                tokens[position] = word
        return tokens

    def input_tokens(self, text: str) -> Tokens:
        """Tokens of a text as the network reads them, the end mark included; `masked_out` counts them."""
        return source_tokens(self._read_sources([text])[0])

    def next_words(
        self, text: str, begin: str = "", *, masked_out: Sequence[int] = (), count: int = 5
    ) -> list[tuple[str, float]]:
        """Most probable ways in which the answer to `text` may go on after `begin`.

        Args:
            text: the source text.
            begin: the answer so far, whole words.
            masked_out: positions of source tokens that attention is knocked out from.
            count: largest number of ways.

        Returns:
            Answers one token longer than `begin`, each with the probability of that token, the most
            probable first.
        """
        source = self._read_sources([text])[0]
        ids, lengths = pad_batch([source.ids], device_of(self.network))
        prefix = self._prefix_ids(self.target_tokenizer.encode(begin), source)
        log_probs = next_log_probs(
            self.network,
            ids,
            lengths,
            prefix,
            masked_out=positions_mask(ids, lengths, [masked_out]),
        )
        log_probs[[PAD, UNK, BOS, EOS]] = -torch.inf
        best = log_probs.topk(min(count, len(log_probs) - 4))
        ways = []
        for token, log_prob in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            tokens = self.to_tokens([*prefix, token], source.copy_ids)
            ways.append((self.target_tokenizer.join(tokens), math.exp(log_prob)))
        return ways

    # Views

    def written_ids(
        self,
        texts: Sequence[str],
        targets: Sequence[str | None],
        *,
        settings: DecodingSettings | None = None,
    ) -> list[tuple[EncodedSource, list[int], list[str]]]:
        """Each source as the network reads it, and the ids and tokens written for it, without BOS and EOS.

        Args:
            texts: not blank.
            targets: one for each text; `None` for the model's own answer.
            settings: how to decode; `None` for the model's own settings.
        """
        own = [text for text, target in zip(texts, targets, strict=True) if target is None]
        decoded = iter(self._decode(own, settings, Steering()) if own else [])
        written = []
        for source, target in zip(self._read_sources(texts), targets, strict=True):
            if target is None:
                source, hypotheses = next(decoded)
                ids, tokens = hypotheses[0].ids, self._output_tokens(source, hypotheses[0])
            else:
                encoding = self.target_tokenizer.encode(target)
                ids = self.target_ids(encoding, source.copy_ids)[1:-1]
                tokens = self.to_tokens(ids, source.copy_ids)
            written.append((source, list(ids), tokens))
        return written

    def look(
        self, text: str, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention while the model writes its answer to `text`, or a given `target`."""
        if not text.strip():
            raise empty_text_error()
        source, ids, tokens = self.written_ids([text], [target])[0]
        return self._view(source, ids, tokens, reading or self.alignment.reading)[1]

    @torch.no_grad()
    def _view(
        self,
        source: EncodedSource,
        written: Sequence[int],
        tokens: Sequence[str],
        reading: Reading,
    ) -> tuple[Maps, AttentionRecord]:
        """All maps, by one forward pass over the source and the written ids."""
        device = device_of(self.network)
        ids, lengths = pad_batch([source.ids], device)
        target, _ = pad_batch([[BOS, *written]], device)
        maps = self.network(ids, lengths, target).maps
        return maps, make_record(
            maps,
            {
                "source": source_tokens(source),
                **target_sides(self.target_tokenizer, tokens, reading),
            },
            reading=describe_reading(reading),
            title=source.encoding.text,
            verdict=self.verdict,
        )

    def _alignment_view(
        self, source: EncodedSource, hypothesis: Hypothesis, reading: Reading | None
    ) -> AttentionRecord:
        """Cross-attention that was kept while decoding: no forward pass, one map."""
        hypothesis = hypothesis.aligned_at(reading or hypothesis.reading)
        written = self._output_tokens(source, hypothesis)
        layer, (layers, heads) = source.alignment.layer, self.network.cross_attention_shape
        number = None if layer is None and layers > 1 else (layer or 1) - 1
        track = Track("cross", "cross", "target", "source", hypothesis.alignment, layer=number)
        return AttentionRecord(
            {
                "source": source_tokens(source),
                "target": output_tokens(self.target_tokenizer, written),
            },
            (track,),
            source.encoding.text,
            source.alignment.replace(reading=hypothesis.reading).describe(layers, heads),
            verdict=self.verdict,
        )


def in_groups(
    items: Sequence[S],
    groups: Sequence[Sequence[int]],
    settings: DecodingSettings | None,
    each: Each,
    write: Callable[[Any, tuple[list[S], DecodingSettings | None]], list[str]],
) -> list[str]:
    """Texts written for some items, group after group; empty where an item is in none.

    Args:
        items: what a text is written for.
        groups: indices of the items of each.
        settings: how to decode.
        each: calls `write` with the model.
        write: texts for the items of a group.
    """
    texts = [""] * len(items)
    found = each(write, [([items[i] for i in group], settings) for group in groups])
    for group, written in zip(groups, found, strict=True):
        for index, text in zip(group, written, strict=True):
            texts[index] = text
    return texts


def _write_group(
    model: TextToText[Any], group: tuple[list[str], DecodingSettings | None]
) -> list[str]:
    return model.write(group[0], settings=group[1])


def references_of(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    """Every correct text of each example."""
    return [example.references or (example.target or "",) for example in examples]


def _loss(network: nn.Module, batch: Batch, smoothing: float) -> Loss:
    assert batch.target is not None
    output = network(batch.source, batch.source_lengths, batch.target[:, :-1])
    count = int(batch.target_lengths.sum())
    loss = cross_entropy_loss(output.logits, batch.target[:, 1:], count, smoothing=smoothing)
    if output.penalty is None:
        return loss
    penalty = output.penalty * count
    assert loss.plain is not None
    return Loss(loss.value + penalty, count, loss.plain + penalty.detach())
