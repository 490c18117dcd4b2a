"""Readers of our own models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regard.api.corpus.attention import AxisTokens, BatchAttention, EncodedText, TextPair
from regard.api.corpus.fingerprint import hash_of_network
from regard.api.tasks.classification import Classifier
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model, device_of, pad_batch
from regard.api.tasks.sources import source_tokens
from regard.api.tasks.text_to_text import TextToText
from regard.api.tasks.tokens import input_tokens, target_sides
from regard.layers.eval_mode import eval_mode
from regard.models import DECODER_INPUT, Output
from regard.text import BOS, EOS
from regard.viewing import Tokens

__all__ = ["ClassifierReader", "EncoderReader", "GeneratorReader", "TextToTextReader"]


class _OwnReader:
    """What the readers of our models share."""

    takes_targets: bool = False
    answers_by_token: bool = False

    def __init__(self, model: Model) -> None:
        self._network = model.network
        self.name: str = model.folder.name if model.folder else repr(model)

    @property
    def _device(self) -> torch.device:
        return device_of(self._network)

    def _run(self, *tensors: Tensor, logits: bool) -> Output:
        """Run the network; without `logits` they may be anything.

        A pretrained network makes its maps in a pass of their own, and alone where nothing else is wanted.
        """
        maps_alone = None if logits else getattr(self._network, "maps_alone", None)
        with eval_mode(self._network):
            if maps_alone is not None:
                return Output(torch.empty(0), maps_alone(*tensors))
            output: Output = self._network(*tensors)
            return output._replace(maps=dict(output.maps))

    def fingerprint(self) -> str:
        """Hash of the weights; the tokenizer is saved with them and has as many rows."""
        return hash_of_network(self._network)


class EncoderReader(_OwnReader):
    """Reader of a model that reads a text; without a head it gives no answers."""

    def __init__(self, model: Classifier | Encoder) -> None:
        super().__init__(model)
        self._tokenizer = model.tokenizer
        self._limit = model.settings.text.max_tokens

    def encode(self, texts: Sequence[TextPair]) -> list[EncodedText]:
        """Tokens of each text, cut to what the network reads."""
        encodings = self._tokenizer.encode_batch([pair.text for pair in texts])
        encoded = []
        for pair, encoding in zip(texts, encodings, strict=True):
            read = encoding.first(self._limit)
            axis = AxisTokens(input_tokens(read, end=False), tuple(read.ids))
            encoded.append(EncodedText(pair, {"text": axis}, len(read) < len(encoding)))
        return encoded

    @torch.no_grad()
    def read(self, texts: Sequence[EncodedText], *, answers: bool = False) -> BatchAttention:
        """One pass over the texts."""
        output = self._run(
            *pad_batch([text.axes["text"].ids for text in texts], self._device), logits=answers
        )
        found = self._answers(output.logits) if answers else ((),) * len(texts)
        return BatchAttention(tuple(texts), output.maps, found)

    def _answers(self, logits: Tensor) -> tuple[tuple[object, ...], ...]:
        return ((),) * len(logits)


class ClassifierReader(EncoderReader):
    """Reader of a classifier; its answer is its label, or all labels that apply."""

    def __init__(self, model: Classifier) -> None:
        super().__init__(model)
        self._labels = model.labels
        self._multilabel = model.multilabel

    def _answers(self, logits: Tensor) -> tuple[tuple[object, ...], ...]:
        if not self._multilabel:
            return tuple((self._labels[index],) for index in logits.argmax(-1).tolist())
        return tuple(
            (tuple(label for label, on in zip(self._labels, row, strict=True) if on),)
            for row in (logits >= 0).tolist()
        )


class GeneratorReader(_OwnReader):
    """Reader of a language model; its answers are the likeliest next tokens."""

    answers_by_token = True

    def __init__(self, model: Generator) -> None:
        super().__init__(model)
        self.model = model

    def encode(self, texts: Sequence[TextPair]) -> list[EncodedText]:
        """Tokens of each text behind the mark that begins it, if the model reads one."""
        network, begin = self.model.network, [BOS] * self.model.network.begins
        limit = network.max_positions or self.model.settings.text.max_tokens
        encodings = self.model.tokenizer.encode_batch([pair.text for pair in texts])
        encoded = []
        for pair, encoding in zip(texts, encodings, strict=True):
            read = encoding.first(limit - len(begin))
            tokens = input_tokens(read, begin=bool(begin), end=False)
            axis = AxisTokens(tokens, (*begin, *read.ids))
            encoded.append(EncodedText(pair, {"text": axis}, len(read) < len(encoding)))
        return encoded

    @torch.no_grad()
    def read(self, texts: Sequence[EncodedText], *, answers: bool = False) -> BatchAttention:
        """One pass over the texts."""
        rows = [text.axes["text"].ids for text in texts]
        output = self._run(*pad_batch(rows, self._device), logits=answers)
        if not answers:
            return BatchAttention(tuple(texts), output.maps, ((),) * len(texts))
        best, names = output.logits.argmax(-1).tolist(), self.model.tokenizer.vocabulary
        found = tuple(
            tuple(names[index] for index in row[: len(ids)])
            for row, ids in zip(best, rows, strict=True)
        )
        return BatchAttention(tuple(texts), output.maps, found)


class TextToTextReader(_OwnReader):
    """Reader of a model that writes a text for a text; its answer is the text it writes."""

    takes_targets = True

    def __init__(self, model: TextToText[Any]) -> None:
        super().__init__(model)
        self.model = model

    def encode(self, texts: Sequence[TextPair]) -> list[EncodedText]:
        """Sources with given targets, or with what the model writes greedily."""
        model, limit = self.model, self.model.settings.text.max_tokens
        settings = model.decoding_settings({"method": "greedy", "n_best": 1})
        written = model.written_ids(
            [pair.text for pair in texts], [pair.target for pair in texts], settings=settings
        )
        encoded = []
        for pair, (source, ids, tokens) in zip(texts, written, strict=True):
            fits = len(ids) < limit
            ids, tokens = ids[: limit - 1], tokens[: limit - 1]
            sides = self._target_sides(pair.target, tokens)
            axes = {
                "source": AxisTokens(source_tokens(source), tuple(source.ids)),
                "target": AxisTokens(sides["target"], (*ids, EOS)),
                DECODER_INPUT: AxisTokens(sides[DECODER_INPUT], (BOS, *ids)),
            }
            text = model.target_tokenizer.join(tokens)
            encoded.append(EncodedText(pair, axes, bool(source.note) or not fits, text))
        return encoded

    def _target_sides(self, given: str | None, tokens: Sequence[str]) -> dict[str, Tokens]:
        """Tokens that are written and read: those of a given target as it is spelt, with its own spaces."""
        tokenizer, count = self.model.target_tokenizer, len(tokens)
        if given is None:
            return target_sides(tokenizer, tokens, "output")
        encoding = tokenizer.encode(given)
        written = input_tokens(encoding).take([*range(count), len(encoding)])
        read = input_tokens(encoding, begin=True, end=False).take(range(count + 1))
        return {"target": written, DECODER_INPUT: read}

    @torch.no_grad()
    def read(self, texts: Sequence[EncodedText], *, answers: bool = False) -> BatchAttention:
        """One pass over sources and targets."""
        ids, lengths = pad_batch([text.axes["source"].ids for text in texts], self._device)
        target, _ = pad_batch([text.axes[DECODER_INPUT].ids for text in texts], self._device)
        maps = self._run(ids, lengths, target, logits=False).maps
        return BatchAttention(tuple(texts), maps, tuple((text.written,) for text in texts))
