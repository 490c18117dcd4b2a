"""Logistic regression or linear SVM on n-grams, fitted by a convex solver instead of gradient steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.models.classifiers.ngram_graph import NgramGraph
from regard.models.classifiers.ngram_hash import Ints, NgramLimits, NgramTable
from regard.models.classifiers.ngram_scoring import score
from regard.models.classifiers.ngrams import NgramExtractor, Occurrences, spelling
from regard.models.classifiers.settings import WideSettings

__all__ = ["Features", "NgramLinear"]

Floats: TypeAlias = NDArray[np.float64]

_CHUNK_TOKENS = 1 << 16
"""Tokens whose characters are spelled out at once while fitting: bounds the memory of documents."""


class Features(NamedTuple):
    """Known n-grams of a batch, one entry for each text and n-gram.

    Attributes:
        row: text.
        ngram: row of `NgramLinear.weight`.
        value: TF-IDF in that text, scaled.
        frequency: occurrences in that text.
        entry: for each known occurrence, the entry that counts it.
        known: for each occurrence, whether its n-gram is known.
    """

    row: Ints
    ngram: Ints
    value: Floats
    frequency: Ints
    entry: Ints
    known: NDArray[np.bool_]


class NgramLinear(nn.Module):
    r"""Logistic regression on TF-IDF of word and character n-grams, scaled by naive Bayes.

    .. math::
        z_c = \sum_f \hat x_f \, |r_{fc}| \, w_{fc} + b_c
        \qquad
        r_{fc} = \log \frac{(\alpha + \sum_{i: y_i = c} \hat x_{if}) / n_c}
                           {(\alpha + \sum_{i: y_i \ne c} \hat x_{if}) / n_{\ne c}}

    where :math:`\hat x_f = (1 + \ln \mathrm{tf}_f)\, \mathrm{idf}_f`, words and characters each scaled
    to unit length. The log-count ratio :math:`r` gives n-grams that tell labels apart larger weights
    for the same penalty (NB-SVM: Wang and Manning 2012, "Baselines and Bigrams"). They use the squared
    hinge loss on presence of n-grams; `loss="hinge"` uses it on the values above.

    The problem is convex and `fit` solves it once; nothing in this module has a gradient. All it knows
    is in its state dict: the characters of each id, the keys of the n-grams, their idf and weights.

    Args:
        settings: `words`, `skip_bigrams`, `lead_pairs`, `max_ngrams`, `loss` and `penalty` are used to
            fit; `alphabet_size` and `ngrams` give the shapes of a state that will be loaded.
    """

    smoothing: ClassVar[float] = 0.1  #: :math:`\alpha`

    _extractor: NgramExtractor
    _table: NgramTable

    code: Tensor
    end: Tensor
    key: Tensor
    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, settings: WideSettings) -> None:
        super().__init__()
        self.labels: int = settings.labels
        self.max_ngrams: int = settings.max_ngrams
        self.limits: NgramLimits = NgramLimits(
            settings.words, settings.skip_bigrams, settings.lead_pairs
        )
        self.loss = settings.loss
        self.penalty: float = settings.penalty
        characters, ngrams = settings.alphabet_size, settings.ngrams
        ends = settings.size if characters else 0
        self.register_buffer("code", torch.zeros(characters, dtype=torch.int32))
        self.register_buffer("end", torch.zeros(ends, dtype=torch.int32))
        self.register_buffer("key", torch.zeros(ngrams, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(ngrams))
        self.register_buffer("weight", torch.zeros(ngrams, settings.labels))
        self.register_buffer("bias", torch.zeros(settings.labels))
        self.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
        if not self.key.is_meta:  # shapes alone: nothing follows from them
            self._derive()

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Score texts.

        Args:
            ids: `(batch, length)`.
            lengths: `(batch,)`.

        Returns:
            `(batch, labels)`; of a text without any known n-gram, the bias.
        """
        scores = score(
            self._extractor.alphabet,
            self.limits,
            self._table,
            ids.numpy(force=True),
            lengths.numpy(force=True),
        )
        return torch.from_numpy(scores).to(self.bias).add_(self.bias)

    def graph(self) -> NgramGraph:
        """Make a module of the same scores that holds no compiled code, to be exported."""
        return NgramGraph(
            self._extractor.alphabet, self.limits, self.key, self.idf, self.weight, self.bias
        )

    def contributions(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Split the scores among the tokens.

        The contribution of an n-gram is divided evenly among its occurrences, and of each occurrence
        evenly among its characters, those that a pair of words leaves out included. The spaces around a
        text count to its first and last token.

        Returns:
            `(batch, length, labels)`; the sum over tokens plus the bias is `forward`.
        """
        characters = self._extractor.characters(ids.numpy(force=True), lengths.numpy(force=True))
        occurrences = self._extractor.occurrences(characters)
        found = self._features(occurrences, len(ids))
        start, end = occurrences.start[found.known], occurrences.end[found.known]
        share = (found.value / found.frequency)[found.entry] / (end - start)
        each = share[:, None] * self.weight.numpy(force=True)[found.ngram[found.entry]]
        # Each occurrence adds a constant to a range of characters: add it where the range starts,
        # subtract it where it ends, and the running sum is the total of every character.
        steps = np.zeros((len(characters.code) + 1, self.labels))
        np.add.at(steps, start, each)
        np.add.at(steps, end, -each)
        last = np.maximum(lengths.numpy(force=True), 1)[characters.row]
        result = np.zeros((*ids.shape, self.labels))
        token = (characters.row, np.clip(characters.token, 1, last) - 1)
        np.add.at(result, token, np.cumsum(steps[:-1], axis=0))
        return torch.from_numpy(result).to(self.bias)

    def fit(self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor) -> None:
        """Choose the n-grams and solve for their weights, from the training examples.

        Args:
            surfaces: what each id adds to a text; their concatenation is the text.
            texts: ids, one sequence a text.
            targets: `(texts,)` labels, or `(texts, labels)` of 0 and 1 where a text may have several.
        """
        code, end = spelling(surfaces)
        self.code, self.end = torch.from_numpy(code).int(), torch.from_numpy(end).int()
        self._derive()
        key, frequency = self._document_frequencies(texts)
        kept = np.sort(np.argsort(-frequency, kind="stable")[: self.max_ngrams])
        idf = 1 + np.log((1 + len(texts)) / (1 + frequency[kept]))  # as scikit-learn smooths it
        self.key, self.idf = torch.from_numpy(key[kept]), torch.from_numpy(idf).float()
        self._derive()
        self.solve(texts, targets)

    def solve(self, texts: Sequence[Sequence[int]], targets: Tensor) -> None:
        """Solve for the weights of the n-grams that `fit` has chosen."""
        weight, bias = self._solve(self._matrix(texts), targets.numpy(force=True))
        self.weight, self.bias = (torch.from_numpy(x).to(self.idf) for x in (weight, bias))
        self._table = self._table._replace(weight=self.weight.numpy(force=True))

    def _derive(self) -> None:
        """Rebuild what follows from the buffers, which have been replaced."""
        code, end = self.code.numpy(force=True), self.end.numpy(force=True)
        self._extractor = NgramExtractor(code, end, self.limits)
        key, idf, weight = (x.numpy(force=True) for x in (self.key, self.idf, self.weight))
        self._table = NgramTable.of(key, idf.astype(float), weight)

    def _features(self, occurrences: Occurrences, texts: int) -> Features:
        keys, idf = self._table.key, self._table.idf
        index = np.searchsorted(keys, occurrences.key)
        index[index == len(keys)] = 0
        known = keys[index] == occurrences.key if len(keys) else index < 0
        # One number per text and n-gram, so that `unique` counts how often they meet.
        pair, entry, count = np.unique(
            occurrences.row[known] * len(keys) + index[known],
            return_inverse=True,
            return_counts=True,
        )
        row, index = np.divmod(pair, max(len(keys), 1))
        value = (1 + np.log(count)) * idf[index]
        # Words and characters of a text are scaled to unit length, each block on its own.
        block = 2 * row + (keys[index] & 1)
        length = np.sqrt(np.bincount(block, value**2, minlength=2 * texts))
        return Features(row, index, value / length[block], count, entry, known)

    def _document_frequencies(self, texts: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
        """Keys of all n-grams, sorted, and the number of texts that each occurs in."""
        keys, counts = [], []
        for ids, lengths in _batches(texts):
            found = self._extractor.occurrences(self._extractor.characters(ids, lengths))
            key, index = np.unique(found.key, return_inverse=True)
            once = np.unique(found.row * len(key) + index)
            keys.append(key)
            counts.append(np.bincount(once % len(key), minlength=len(key)))
        key, index = np.unique(np.concatenate(keys), return_inverse=True)
        return key, np.bincount(index, np.concatenate(counts)).astype(np.int64)

    def _matrix(self, texts: Sequence[Sequence[int]]) -> Any:
        """All texts as a sparse matrix `(texts, n-grams)`."""
        from scipy.sparse import csr_array

        parts, first = [], 0
        for ids, lengths in _batches(texts):
            found = self._features(
                self._extractor.occurrences(self._extractor.characters(ids, lengths)), len(ids)
            )
            parts.append((found.row + first, found.ngram, found.value))
            first += len(ids)
        row, index, value = map(np.concatenate, zip(*parts, strict=True))
        indices = row.astype(np.int32), index.astype(np.int32)  # liblinear takes no wider ones
        return csr_array((value, indices), shape=(len(texts), len(self._table.key)))

    def _solve(self, matrix: Any, targets: Ints) -> tuple[Floats, Floats]:
        """Weights `(n-grams, labels)` and biases `(labels,)`, one label against the rest each time."""
        if targets.ndim == 1:
            of_label = targets[:, None] == np.arange(self.labels)
            if self.labels == 2:  # one problem, shared out with opposite signs
                weight, bias = self._separate(matrix, of_label[:, 1])
                return np.stack([-weight, weight], 1) / 2, np.array([-bias, bias]) / 2
        else:
            of_label = targets.astype(bool)
        solved = [self._separate(matrix, yes) for yes in of_label.T]
        weights, biases = zip(*solved, strict=True)
        return np.stack(weights, 1), np.array(biases)

    def _separate(self, matrix: Any, yes: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Weights and bias that separate the texts with a label from those without it."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        if yes.all() or not yes.any():  # nothing to separate: the smoothed log-odds of the label
            return np.zeros(matrix.shape[1]), float(
                np.log((yes.sum() + 0.5) / ((~yes).sum() + 0.5))
            )
        mean_yes, mean_no = (
            (matrix[rows].sum(axis=0) + self.smoothing) / rows.sum() for rows in (yes, ~yes)
        )
        ratio = np.abs(np.log(mean_yes / mean_no))
        strength, scale = 1 / self.penalty, 1.0
        if self.loss == "hinge":
            # A margin of 1 is taken for odds of e^2 to 1, so that it can be read, and added, as a logit.
            solver, scale = LinearSVC(C=strength, max_iter=10_000, random_state=0), 2.0
        else:
            solver = LogisticRegression(C=strength, max_iter=1000)
        solver.fit(matrix.multiply(ratio).tocsr(), yes)
        return scale * ratio * solver.coef_[0], scale * float(np.ravel(solver.intercept_)[0])


def _after_loading(linear: nn.Module, _: object) -> None:
    assert isinstance(linear, NgramLinear)
    linear._derive()


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[tuple[Ints, Ints]]:
    """Texts in order as padded ids and lengths, about `_CHUNK_TOKENS` tokens at a time."""
    batch: list[Sequence[int]] = []
    longest = 0
    for text in texts:
        if batch and max(longest, len(text)) * (len(batch) + 1) > _CHUNK_TOKENS:
            yield _padded(batch, longest)
            batch, longest = [], 0
        batch.append(text)
        longest = max(longest, len(text))
    yield _padded(batch, longest)


def _padded(texts: Sequence[Sequence[int]], longest: int) -> tuple[Ints, Ints]:
    ids = np.zeros((len(texts), longest), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return ids, np.array([len(text) for text in texts])
