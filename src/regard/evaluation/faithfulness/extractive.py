"""How far the attention of a model that picks sentences explains what it picks.

Two maps are to be seen, and each needs its own question.

* **Over sentences** the weights are the choice itself, not an account of it: what may be asked is
  whether they go by what a sentence says or by where it stands. The sentences are shuffled: is the
  same sentence picked again, or whatever now stands in its place?
* **Over the words of a sentence** attention says what the sentence was picked for. Here all
  questions of `faithfulness` apply: words of the picked sentence are taken out, the other sentences
  stay, and the answer is the probability of that sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.data import pad_documents
from regard.errors import InputError
from regard.evaluation.faithfulness.adapters import Classified
from regard.evaluation.faithfulness.measures import Floats, Ids, Interval, interval
from regard.evaluation.faithfulness.metrics import Case, TrustSettings
from regard.evaluation.faithfulness.verdict import Verdict, examine
from regard.layers.intervene import replaced_pooling
from regard.models import Output
from regard.models.extractive import Extractive
from regard.text import EOS

__all__ = ["Document", "ExtractionVerdict", "PickedWords", "Places", "trust_extraction"]

Document = Sequence[Ids]
"""Token ids of each sentence."""


@dataclass(frozen=True)
class Places:
    """What is picked after the sentences were shuffled, so that the picked one stands elsewhere.

    Attributes:
        sentence: share of shuffles that pick the same sentence.
        place: share of shuffles that pick what now stands in its place.
        first: share of documents of which, as they are, the first sentence is picked.
        chance: share that a blind pick would hit: one in as many as there are sentences.
    """

    sentence: Interval
    place: Interval
    first: float
    chance: float


@dataclass(frozen=True)
class ExtractionVerdict(Verdict):
    """`Verdict` on the words of picked sentences, with what is known of the choice of sentences.

    Attributes:
        places: whether content or place decides.
    """

    places: Places | None = None

    def __str__(self) -> str:
        assert self.places is not None
        places = self.places
        lines = [
            "",
            f"after shuffling: same sentence {places.sentence}, same place {places.place}; "
            f"a blind pick {places.chance:.2f}",
            f"first sentence picked in {places.first:.0%} of documents",
        ]
        return super().__str__() + "\n".join(lines)


def trust_extraction(
    model: Extractive,
    documents: Sequence[Document],
    *,
    settings: TrustSettings | None = None,
    spell: Callable[[int], str] = str,
) -> ExtractionVerdict:
    """Ask a model that picks sentences whether its attention explains what it picks.

    The sentence asked about is the one the model is surest of.

    Args:
        model: that picks.
        documents: of at least two sentences; others leave nothing to choose and are left out.
        settings: how thoroughly to ask.
        spell: an id as a person knows it.

    Raises:
        InputError: no document has two sentences.
    """
    settings = settings or TrustSettings()
    asked = PickedWords(model)
    texts = [asked.flat(document) for document in documents if len(document) > 1]
    if not texts:
        raise InputError(
            f"{len(documents)} documents and none with two sentences, so there is no choice to "
            "explain; give documents as lists of sentences"
        )
    cases = asked.cases(texts)
    places = _places(asked, cases, settings)
    words = examine(asked, cases, settings=settings, spell=spell)
    level, over_sentences = words.level, "The weights over sentences are the choice itself"
    if places.sentence.mean < places.place.mean:
        level = "partial" if level == "good" else level
        over_sentences += (
            ", and that goes by place more than by content (of sentences in another order it picks "
            f"the same one in {places.sentence.mean:.0%}, the same place in {places.place.mean:.0%})"
        )
    sentence = f"{over_sentences}. Over the words of a picked sentence: {words.sentence}"
    return ExtractionVerdict(**vars(replace(words, level=level, sentence=sentence)), places=places)


def _places(asked: PickedWords, cases: Sequence[Case], settings: TrustSettings) -> Places:
    rng = np.random.default_rng(settings.seed)
    same, stayed, counts = [], [], []
    for case in cases:
        document = asked.document(case.text)
        orders = [_moved(rng, len(document), case.label) for _ in range(settings.permutations)]
        shuffled = [asked.flat([document[i] for i in order]) for order in orders]
        picked = asked.predict(shuffled).argmax(-1)
        found = [order[place] for order, place in zip(orders, picked, strict=True)]
        same.append(float(np.mean(np.array(found) == case.label)))
        stayed.append(float(np.mean(picked == case.label)))
        counts.append(len(document))
    return Places(
        sentence=interval(same, seed=settings.seed, resamples=settings.resamples),
        place=interval(stayed, seed=settings.seed, resamples=settings.resamples),
        first=float(np.mean([case.label == 0 for case in cases])),
        chance=float(np.mean(1 / np.array(counts))),
    )


def _moved(rng: np.random.Generator, count: int, sentence: int) -> list[int]:
    """A random order of sentences in which one of them stands elsewhere."""
    order: list[int] = rng.permutation(count).tolist()
    if order[sentence] == sentence:
        other = int(rng.integers(count - 1))
        other += other >= sentence
        order[sentence], order[other] = order[other], order[sentence]
    return order


class PickedWords(Classified):
    """A model that picks sentences, as a classifier whose labels are the sentences.

    A document is one text, EOS between its sentences; a sentence that lost all its words is one
    mask.
    """

    model: Extractive

    @staticmethod
    def flat(document: Document) -> list[int]:
        """Its sentences as one text."""
        return [token for sentence in document for token in (*sentence, EOS)][:-1]

    def document(self, text: Ids) -> list[list[int]]:
        """The sentences of a text."""
        ends = [i for i, token in enumerate(text) if token == EOS]
        bounds = zip([0, *(end + 1 for end in ends)], [*ends, len(text)], strict=True)
        return [list(text[start:end]) or [self.mask_id] for start, end in bounds]

    def cases(self, texts: Sequence[list[int]]) -> list[Case]:
        """A case a text: the words of the sentence it is surest of."""
        cases = []
        answers, weights, slopes = self.predict(texts), self.attention(texts), self.gradient(texts)
        for text, row, looked, slope in zip(texts, answers, weights, slopes, strict=True):
            sentence = np.cumsum(np.array(text) == EOS)
            picked = (sentence == row.argmax()) & (np.array(text) != EOS)
            places = np.flatnonzero(picked).tolist()
            cases.append(Case(text, places, places, row[: sentence[-1] + 1], looked, slope))
        return cases

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Probabilities `(texts, sentences)`; 0 where a document has no sentence."""
        return _stacked(self._each(texts, lambda rows, ids, lengths: self._answer(ids, lengths)))

    def predict_with(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Probabilities if words were attended to by these weights, `(1, length)` each.

        In each sentence they are scaled to sum to 1.
        """

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            given = np.zeros(ids.shape)
            for place, row in zip(given, rows, strict=True):
                place[self._words(texts[row], place.shape)] = weights[row][0][_own(texts[row])]
            given /= np.maximum(given.sum(-1, keepdims=True), np.finfo(float).tiny)
            sentences = torch.from_numpy(given).to(ids.device).flatten(0, 1)
            with replaced_pooling(self.model, sentences[:, None]):
                return self._answer(ids, lengths)

        return _stacked(self._each(texts, of))

    def _lay(self, texts: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return pad_documents([self.document(text) for text in texts])

    def _along(self, values: Floats, text: Ids) -> Floats:
        own = _own(text)
        flat = np.zeros((*values.shape[:-2], len(text)))
        flat[..., own] = values[..., self._words(text, values.shape[-2:])]
        return flat

    def _words(self, text: Ids, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Where, in a layout of sentences, the words of a text stand."""
        words = np.zeros(shape, dtype=bool)
        for row, sentence in zip(words, np.split(_own(text), _ends(text)), strict=False):
            row[: int(sentence.sum())] = True
        return words

    def _over_tokens(self, output: Output, lengths: Tensor) -> Tensor:
        rows: Tensor = output.maps["words"][0].dense()  # (batch * sentences, 1, 1, words)
        return rows.view(*lengths.shape, 1, -1).transpose(1, 2)


def _own(text: Ids) -> NDArray[np.bool_]:
    """Which tokens are words, and not the end of a sentence."""
    return np.asarray(np.array(text) != EOS)


def _ends(text: Ids) -> NDArray[np.int64]:
    return np.flatnonzero(np.array(text) == EOS)


def _stacked(rows: Sequence[Floats]) -> Floats:
    """Rows of unlike length under each other, zeros behind."""
    width = max(map(len, rows))
    return np.stack([np.pad(row, (0, width - len(row))) for row in rows])
