"""Masked language model: words found from the words on both sides, as in BERT."""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows `network` and `tokenizer` to its own; nobody assigns others.

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import check_no_reading, empty_text_error
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.model import (
    EncodedExamples,
    Evaluation,
    build_untrained,
    device_of,
    in_chunks,
    network_from_config,
    pad_batch,
    read_tokenizer,
    train_tokenizer,
)
from regard.api.tasks.records import make_record
from regard.api.tasks.tokens import input_tokens
from regard.data import Example
from regard.data.ragged import Ragged
from regard.decoding import DecodingSettings, Reading
from regard.engines import Each, Here
from regard.errors import InputError
from regard.evaluation import Score, bootstrap
from regard.models import configure
from regard.models.masked_language_model import MaskedLanguageModel, mask_tokens
from regard.text import BOS, EOS, PAD, UNK, Encoding, TextOrPair, to_text
from regard.text.marked import MASK_NAME, MarkedTokenizer
from regard.training import Batch, Loss, cross_entropy_loss
from regard.training.batch import text_batch
from regard.viewing import AttentionRecord
from regard.viewing.data.explanation import Prediction

__all__ = ["MaskedLanguage"]

_SHOWN = 100
"""Words that a record names with their probabilities."""


class MaskedLanguage(Encoder):
    """Model that finds masked words: `look("The [MASK] sat")` says which, and shows what it attended to."""

    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity", "accuracy")
    fits_baseline: ClassVar[bool] = True
    network: MaskedLanguageModel
    tokenizer: MarkedTokenizer

    def __init__(
        self, settings: RunSettings, network: nn.Module, tokenizer: MarkedTokenizer
    ) -> None:
        super().__init__(settings, network, tokenizer)

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn the vocabulary from the training part."""
        words = train_tokenizer((example.text for example in examples), settings)
        tokenizer = MarkedTokenizer(words)
        values = {**settings.model, "size": len(tokenizer)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer)

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read the tokenizer."""
        words = read_tokenizer(folder, "source.json", config["model"]["size"] - 1)
        return cls(settings, network_from_config(config), MarkedTokenizer(words))

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer."""
        self.tokenizer.save(folder / "source.json")
        return {"model": self.network.settings.model_dump()}

    # Training

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Each line runs from `[CLS]` to `[SEP]`; one longer than `max_tokens` continues in the next row."""
        room = max(1, self.settings.text.max_tokens - 2)

        def rows() -> Iterator[list[int]]:
            for chunk in in_chunks(examples):
                texts = [example.text for example in chunk]
                for encoding in self.tokenizer.words.encode_batch(texts):
                    for start in range(0, len(encoding), room):
                        yield [BOS, *encoding.ids[start : start + room], EOS]

        texts = Ragged(rows())
        return EncodedExamples(texts.lengths, lambda indices: text_batch(texts, indices), {})

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross entropy of the words that were chosen, from the masked text.

        The words are drawn from torch's random numbers, which each update seeds: a resumed run draws the same.
        """
        assert isinstance(network, MaskedLanguageModel)
        masked, chosen = mask_tokens(batch.source.cpu(), network.mask_id)
        masked, chosen = masked.to(batch.source.device), chosen.to(batch.source.device)
        logits = network.logits_at(masked, batch.source_lengths, chosen)
        smoothing = self.settings.training.label_smoothing
        wanted = batch.source[chosen]
        return cross_entropy_loss(logits, wanted, len(wanted), smoothing=smoothing)

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, perplexity and accuracy of words that are the same in every validation."""
        batches = list(encoded.one_pass())

        def validate(network: nn.Module) -> dict[str, float]:
            assert isinstance(network, MaskedLanguageModel)
            nats, right, count = np.concatenate([self._found(network, b) for b in batches]).sum(0)
            loss = float(nats / count)
            return {
                "loss": loss,
                "perplexity": float(np.exp(loss)),
                "accuracy": float(right / count),
            }

        return validate

    def _fixed_mask(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Words of a batch that are masked whenever it is measured."""
        seed = zlib.crc32(repr(batch.indices).encode())
        generator = torch.Generator().manual_seed(seed)
        return mask_tokens(batch.source, self.tokenizer.mask_id, generator=generator)

    def found(self, batch: Batch) -> NDArray[np.float64]:
        """Negative log-likelihood in nats, words found and words masked of each row, `(rows, 3)`."""
        return self._found(self.network, batch)

    @torch.no_grad()
    def _found(self, network: MaskedLanguageModel, batch: Batch) -> NDArray[np.float64]:
        """Negative log-likelihood in nats, words found and words masked of each row, `(rows, 3)`."""
        masked, chosen = self._fixed_mask(batch)
        device = device_of(network)
        lengths = batch.source_lengths.to(device)
        logits = network.logits_at(masked.to(device), lengths, chosen.to(device)).float().cpu()
        wanted = batch.source[chosen]
        nats = -logits.log_softmax(-1).gather(-1, wanted[:, None])[:, 0]
        right = _words_only(logits, self.tokenizer.mask_id).argmax(-1) == wanted
        return _by_row(chosen, nats.double().numpy(), right.double().numpy())

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """Perplexity and accuracy of masked words, beside the word frequencies of the training part."""
        batches = list(self.encode_examples(examples, training=False).one_pass())
        found = np.concatenate([*(each or Here(self))(MaskedLanguage.found, batches)])
        baselines = {}
        if train is not None:
            baselines["word frequencies"] = _scores(self._unigram(train, batches))
        return Evaluation(len(examples), _scores(found), baselines, note=note)

    def _unigram(self, train: Sequence[Example], batches: Sequence[Batch]) -> NDArray[np.float64]:
        counts: Counter[int] = Counter()
        for chunk in in_chunks(train):
            for encoding in self.tokenizer.words.encode_batch([example.text for example in chunk]):
                counts.update(encoding.ids)
        seen = np.array([counts[index] + 1 for index in range(len(self.tokenizer))], dtype=float)
        nats, best = -np.log(seen / seen.sum()), int(seen.argmax())
        rows = []
        for batch in batches:
            _, chosen = self._fixed_mask(batch)
            wanted = batch.source[chosen].numpy()
            rows.append(_by_row(chosen, nats[wanted], (wanted == best).astype(float)))
        return np.concatenate(rows)

    # Answering

    def fill(self, text: str, *, count: int = 5) -> list[list[tuple[str, float]]]:
        """Likeliest words at each `[MASK]` of a text, with their probabilities.

        Args:
            text: with one `[MASK]` or several, each one token; all are found at once, apart from each other.
            count: words for each.

        Raises:
            InputError: no `[MASK]`.
        """
        encoding = self._read(text)
        if self.tokenizer.mask_id not in encoding.ids:
            raise InputError(
                f"{text!r:.80} holds no {MASK_NAME}; write one where a word is to be found"
            )
        return [likely[:count] for likely in self._likely(encoding, most=count)]

    def _read(self, text: str) -> Encoding:
        if not text.strip():
            raise empty_text_error()
        return self.tokenizer.encode_masked(text).first(self.settings.text.max_tokens)

    @torch.no_grad()
    def _likely(self, encoding: Encoding, *, most: int) -> list[list[tuple[str, float]]]:
        ids, lengths = pad_batch([encoding.ids], device_of(self.network))
        logits = self.network.logits_at(ids, lengths, ids == self.tokenizer.mask_id).float().cpu()
        probabilities = _words_only(logits, self.tokenizer.mask_id).softmax(-1)
        best = probabilities.topk(min(most, len(self.tokenizer) - EOS - 2))
        names = self.tokenizer.words
        return [
            [
                (names.decode([index]).strip() or names.vocabulary[index], value)
                for index, value in zip(row, values, strict=True)
            ]
            for row, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def look(
        self, text: TextOrPair, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention while the network reads `text`; at a `[MASK]`, what it would write."""
        if target is not None:
            raise InputError("a masked language model writes no text, so it takes no target")
        check_no_reading(reading)
        read = to_text(text)
        encoding = self._read(read)
        with torch.no_grad():
            maps = self.network(*pad_batch([encoding.ids], device_of(self.network))).maps
        tokens = {"text": input_tokens(encoding, end=False)}
        record = make_record(maps, tokens, title=read, verdict=self.verdict)
        if self.tokenizer.mask_id not in encoding.ids:
            return record
        likely = self._likely(encoding, most=_SHOWN)
        words = tuple(each[0][0] for each in likely)
        return replace(record, prediction=Prediction(words, tuple(likely[0])))


def _words_only(logits: Tensor, mask_id: int) -> Tensor:
    """Logits with -inf for what is no word."""
    logits = logits.clone()
    logits[:, [PAD, UNK, BOS, EOS, mask_id]] = -torch.inf
    return logits


def _by_row(
    chosen: Tensor, nats: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sums of the chosen words of each row: nats, words found, words; `(rows, 3)`."""
    row = np.nonzero(chosen.numpy())[0]
    columns = (nats, right, np.ones(len(row)))
    sums = [np.bincount(row, x, minlength=len(chosen)) for x in columns]
    return np.stack(sums, axis=1).astype(np.float64)


def _scores(rows: NDArray[np.float64]) -> tuple[Score, ...]:
    nats, right, count = rows.sum(0)
    perplexity = bootstrap(rows, lambda sums: np.exp(sums[:, 0] / np.maximum(sums[:, 2], 1)))
    accuracy = bootstrap(rows, lambda sums: 100 * sums[:, 1] / np.maximum(sums[:, 2], 1))
    return (
        Score("perplexity", float(np.exp(nats / count)), perplexity),
        Score("accuracy", float(100 * right / count), accuracy),
    )
