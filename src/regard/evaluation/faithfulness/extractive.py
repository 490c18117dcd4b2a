"""Examination of extractive summarizers: how far their attention explains the chosen sentence.

An extractive model has two attention maps, and they are examined differently.

* **Over sentences** the weights are the choice itself, so erasing sentences would prove nothing. They
  can follow what a sentence says or where it stands. The sentences are shuffled: is the same sentence
  chosen again, or the one now at its position?
* **Over the words of a sentence** attention says for what the sentence was chosen. Every measurement
  of `trust` applies: words of the chosen sentence are erased, the other sentences stay, and the
  prediction is the probability of that sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.data import pad_documents
from regard.engines import Each
from regard.errors import InputError
from regard.evaluation.faithfulness.adapters import ClassifierAdapter
from regard.evaluation.faithfulness.contracts import Ids, TrustSettings, predict_each
from regard.evaluation.faithfulness.instances import Instance
from regard.evaluation.faithfulness.trust import examine
from regard.evaluation.faithfulness.verdict import Verdict
from regard.evaluation.metrics.intervals import Floats, Interval
from regard.layers.intervene import replaced_pooling
from regard.models.extractive import SentenceExtractor
from regard.text import EOS

__all__ = ["Document", "ExtractionVerdict", "ExtractiveAdapter", "PositionBias", "trust_extraction"]

Document = Sequence[Ids]
"""Token ids of each sentence."""


@dataclass(frozen=True)
class PositionBias:
    """Choices among shuffled sentences, where the chosen sentence has moved to another position.

    Attributes:
        same_sentence: fraction of shuffles in which the same sentence is chosen.
        same_position: fraction of shuffles in which the sentence now at its position is chosen.
        first_sentence: fraction of unshuffled documents whose first sentence is chosen.
        chance: fraction that a random choice would reach, the mean of 1 / sentences.
    """

    same_sentence: Interval
    same_position: Interval
    first_sentence: float
    chance: float


@dataclass(frozen=True)
class ExtractionVerdict(Verdict):
    """The `Verdict` on words of chosen sentences, with the position bias of the choice.

    Attributes:
        position_bias: whether content or position decides the choice of sentences.
    """

    position_bias: PositionBias = field(kw_only=True)

    def __str__(self) -> str:
        bias = self.position_bias
        lines = [
            "",
            f"after shuffling: same sentence {bias.same_sentence}, same position "
            f"{bias.same_position}; random choice {bias.chance:.2f}",
            f"first sentence chosen in {bias.first_sentence:.0%} of documents",
        ]
        return super().__str__() + "\n".join(lines)


def trust_extraction(
    model: SentenceExtractor,
    documents: Sequence[Document],
    *,
    settings: TrustSettings | None = None,
    id_to_token: Callable[[int], str] = str,
    each: Each | None = None,
) -> ExtractionVerdict:
    """Measure how far the attention of an extractive model explains which sentence it chooses.

    The likeliest sentence of each document is examined.

    Args:
        model: the extractive model.
        documents: sentences of token ids. Documents of one sentence leave no choice and are left out.
        settings: sample sizes, thresholds and seed.
        id_to_token: the readable form of a token id, for the name of the sink.
        each: calls functions of an `ExtractiveAdapter` of this model; `None` does so in this process.

    Raises:
        InputError: no document has two sentences.
    """
    settings = settings or TrustSettings()
    adapter = ExtractiveAdapter(model, each=each)
    texts = [adapter.flatten(document) for document in documents if len(document) > 1]
    if not texts:
        raise InputError(
            f"{len(documents)} documents and none with two sentences, so there is no choice to "
            "explain; give documents as lists of sentences"
        )
    instances = adapter.instances(texts)
    bias = _position_bias(adapter, instances, settings)
    words = examine(adapter, instances, settings=settings, id_to_token=id_to_token)
    level, over_sentences = words.level, "The weights over sentences are the choice itself"
    if bias.same_sentence.mean < bias.same_position.mean:
        level = "partial" if level == "good" else level
        over_sentences += (
            ", and that goes by position more than by content (of shuffled sentences it chooses the "
            f"same one in {bias.same_sentence.mean:.0%}, the same position in "
            f"{bias.same_position.mean:.0%})"
        )
    sentence = f"{over_sentences}. Over the words of a chosen sentence: {words.sentence}"
    return ExtractionVerdict(
        **vars(replace(words, level=level, sentence=sentence)), position_bias=bias
    )


def _position_bias(
    adapter: ExtractiveAdapter, instances: Sequence[Instance], settings: TrustSettings
) -> PositionBias:
    rng = np.random.default_rng(settings.seed)
    same_sentence, same_position, lengths = [], [], []
    orders_of: list[list[list[int]]] = []

    def shuffled() -> Iterator[list[list[int]]]:
        for instance in instances:
            document = adapter.unflatten(instance.text)
            orders = [
                _displaced(rng, len(document), instance.label) for _ in range(settings.permutations)
            ]
            orders_of.append(orders)
            lengths.append(len(document))
            yield [adapter.flatten([document[i] for i in order]) for order in orders]

    for n, probabilities in enumerate(predict_each(adapter, shuffled())):
        instance, orders = instances[n], orders_of[n]
        chosen = probabilities.argmax(-1)  # positions in the shuffled documents
        sentences = [order[position] for order, position in zip(orders, chosen, strict=True)]
        same_sentence.append(float(np.mean(np.array(sentences) == instance.label)))
        same_position.append(float(np.mean(chosen == instance.label)))
    return PositionBias(
        same_sentence=settings.interval(same_sentence),
        same_position=settings.interval(same_position),
        first_sentence=float(np.mean([instance.label == 0 for instance in instances])),
        chance=float(np.mean(1 / np.array(lengths))),
    )


def _displaced(rng: np.random.Generator, count: int, sentence: int) -> list[int]:
    """Draw a random order of `count` sentences in which `sentence` is at another position."""
    order: list[int] = rng.permutation(count).tolist()
    if order[sentence] == sentence:
        other = int(rng.integers(count - 1))
        other += other >= sentence
        order[sentence], order[other] = order[other], order[sentence]
    return order


class ExtractiveAdapter(ClassifierAdapter):
    """An extractive model as a classifier of documents whose labels are the sentences.

    A document becomes one text with EOS between its sentences. A sentence that loses all its words
    becomes one mask token.
    """

    model: SentenceExtractor

    @staticmethod
    def flatten(document: Document) -> list[int]:
        """Join the sentences of a document with EOS."""
        return [token for sentence in document for token in (*sentence, EOS)][:-1]

    def unflatten(self, text: Ids) -> list[list[int]]:
        """Split a text at EOS into the sentences of its document."""
        ends = [i for i, token in enumerate(text) if token == EOS]
        bounds = zip([0, *(end + 1 for end in ends)], [*ends, len(text)], strict=True)
        return [list(text[start:end]) or [self.mask_id] for start, end in bounds]

    def instances(self, texts: Sequence[list[int]]) -> list[Instance]:
        """Return an instance for each text: the words of its likeliest sentence can be erased."""
        instances = []
        probabilities, weights = self.predict(texts), self.attention(texts)
        gradients = self.gradient_x_input(texts)
        for text, row, weight, gradient in zip(
            texts, probabilities, weights, gradients, strict=True
        ):
            sentence = np.cumsum(np.array(text) == EOS)
            chosen = (sentence == row.argmax()) & (np.array(text) != EOS)
            positions = np.flatnonzero(chosen).tolist()
            own_row = row[: sentence[-1] + 1]
            instances.append(Instance(text, positions, positions, own_row, weight, gradient))
        return instances

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Return probabilities `(texts, sentences)`, padded with 0."""
        return _stack_padded(
            self._by_text(texts, lambda rows, ids, lengths: self._predict(ids, lengths))
        )

    def predict_with_attention(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Return probabilities under word weights, `(1, length)` each, which sum to 1 per sentence.

        Weights of a sentence with another sum are scaled.
        """

        def compute(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            padded = np.zeros(ids.shape)
            for target, row in zip(padded, rows, strict=True):
                is_word = _is_word(texts[row])
                target[self._word_cells(texts[row], target.shape)] = weights[row][0][is_word]
            padded /= np.maximum(padded.sum(-1, keepdims=True), np.finfo(float).tiny)
            sentences = torch.from_numpy(padded).to(ids.device).flatten(0, 1)
            with replaced_pooling(self.model, sentences[:, None]):
                return self._predict(ids, lengths)

        return _stack_padded(self._by_text(texts, compute))

    def _collate(self, texts: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return pad_documents([self.unflatten(text) for text in texts])

    def _unpad(self, values: Floats, text: Ids) -> Floats:
        is_word = _is_word(text)
        flat = np.zeros((*values.shape[:-2], len(text)))
        flat[..., is_word] = values[..., self._word_cells(text, values.shape[-2:])]
        return flat

    def _word_cells(self, text: Ids, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Mark the cells of a padded `(sentences, words)` array that hold words of the text."""
        cells = np.zeros(shape, dtype=bool)
        for row, sentence in zip(cells, np.split(_is_word(text), _ends(text)), strict=False):
            row[: int(sentence.sum())] = True
        return cells


def _is_word(text: Ids) -> NDArray[np.bool_]:
    """Mark the tokens that are words, as opposed to ends of sentences."""
    return np.asarray(np.array(text) != EOS)


def _ends(text: Ids) -> NDArray[np.int64]:
    """Positions of the ends of sentences."""
    return np.flatnonzero(np.array(text) == EOS)


def _stack_padded(rows: Sequence[Floats]) -> Floats:
    """Stack rows of different lengths, padded with zeros."""
    width = max(map(len, rows))
    return np.stack([np.pad(row, (0, width - len(row))) for row in rows])
