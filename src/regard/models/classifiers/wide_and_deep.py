"""N-grams beside attention: a linear classifier that is solved, and a deep one that is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.models import build
from regard.models.classifiers.ngram_scoring import Known, score
from regard.models.classifiers.ngrams import Ints, Ngrams, Occurrences
from regard.models.classifiers.settings import WideSettings
from regard.models.contracts import Classifier, Output

__all__ = ["Wide", "WideAndDeep"]

Floats = NDArray[np.float64]

_CHUNK = 1 << 16  # tokens laid out at once while fitting: bounds the memory that documents take


class Features(NamedTuple):
    """The known n-grams of a batch, one entry per text and n-gram.

    Attributes:
        row: the text.
        ngram: a row of `Wide.weight`.
        value: its weight in the text.
        times: it occurs there.
        entry: for each known occurrence, the entry that counts it.
        known: which occurrences are known.
    """

    row: Ints
    ngram: Ints
    value: Floats
    times: Ints
    entry: Ints
    known: NDArray[np.bool_]


class Wide(nn.Module):
    r"""Logistic regression on TF-IDF of word and character n-grams, scaled by naive Bayes.

    .. math::
        z_c = \sum_f \hat x_f \, |r_{fc}| \, w_{fc} + b_c
        \qquad
        r_{fc} = \log \frac{(\alpha + \sum_{i: y_i = c} \hat x_{if}) / n_c}
                           {(\alpha + \sum_{i: y_i \ne c} \hat x_{if}) / n_{\ne c}}

    where :math:`\hat x_f = (1 + \ln \mathrm{tf}_f)\, \mathrm{idf}_f`, words and characters each scaled
    to unit length. The log-count ratio :math:`r` gives an n-gram that tells labels apart more room
    (Wang and Manning 2012, "Baselines and Bigrams"; theirs is a support vector machine on presence,
    and `margin="hinge"` one on the values above, with the squared hinge loss).
    The problem is convex, so `fit` solves it once; nothing here has a gradient.

    Everything it knows is in its state: what each id spells, the hashes of the n-grams, their idf and
    their weights.

    Args:
        settings: of these, `words`, `skips`, `leads`, `most_ngrams`, `margin` and `penalty` decide, and
            `letters` and `ngrams` say how large the state is that will be loaded.
    """

    _known: Known
    smoothing = 0.1  #: :math:`\alpha`

    code: Tensor
    end: Tensor
    key: Tensor
    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, settings: WideSettings) -> None:
        super().__init__()
        self.labels, self.most = settings.labels, settings.most_ngrams
        self.words, self.skips, self.leads = settings.words, settings.skips, settings.leads
        self.margin, self.penalty = settings.margin, settings.penalty
        letters, ngrams = settings.letters, settings.ngrams
        ends = settings.size if letters else 0
        self.register_buffer("code", torch.zeros(letters, dtype=torch.int32))
        self.register_buffer("end", torch.zeros(ends, dtype=torch.int32))
        self.register_buffer("key", torch.zeros(ngrams, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(ngrams))
        self.register_buffer("weight", torch.zeros(ngrams, settings.labels))
        self.register_buffer("bias", torch.zeros(settings.labels))
        self._prepare()

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(batch, labels)` of `ids` `(batch, length)`; a text without a known n-gram gets the bias."""
        scores = score(self._ngrams, self._known, ids.numpy(force=True), lengths.numpy(force=True))
        return torch.from_numpy(scores).to(self.bias).add_(self.bias)

    def contributions(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """What each token adds to each score: `(batch, length, labels)`.

        With the bias they sum to `forward`. The share of an n-gram is split evenly over its
        occurrences and there over its characters, with those a pair leaves out; the spaces around a
        text count to its ends.
        """
        spelling = self._ngrams.spell(ids.numpy(force=True), lengths.numpy(force=True))
        occurrences = self._ngrams.occurrences(spelling)
        found = self._features(occurrences, len(ids))
        start, end = occurrences.start[found.known], occurrences.end[found.known]
        share = (found.value / found.times)[found.entry] / (end - start)
        each = share[:, None] * self.weight.numpy(force=True)[found.ngram[found.entry]]
        # The same for each of a range of characters: up where it starts, down where it ends, summed.
        steps = np.zeros((len(spelling.code) + 1, self.labels))
        np.add.at(steps, start, each)
        np.add.at(steps, end, -each)
        last = np.maximum(lengths.numpy(force=True), 1)[spelling.row]
        result = np.zeros((*ids.shape, self.labels))
        place = (spelling.row, np.clip(spelling.place, 1, last) - 1)
        np.add.at(result, place, np.cumsum(steps[:-1], axis=0))
        return torch.from_numpy(result).to(self.bias)

    def fit(self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor) -> None:
        """Learn the n-grams and solve for their weights. Give it the training part only.

        Args:
            surfaces: what each id adds to a text; their concatenation is the text.
            texts: ids, one sequence a text.
            targets: `(texts,)` labels, or `(texts, labels)` of 0 and 1 where a text may have several.
        """
        code, end = Ngrams.alphabet(surfaces)
        self.code, self.end = torch.from_numpy(code).int(), torch.from_numpy(end).int()
        self._prepare()
        key, frequency = self._frequencies(texts)
        kept = np.sort(np.argsort(-frequency, kind="stable")[: self.most])
        idf = 1 + np.log((1 + len(texts)) / (1 + frequency[kept]))  # as scikit-learn smooths it
        self.key, self.idf = torch.from_numpy(key[kept]), torch.from_numpy(idf).float()
        self._prepare()
        self.solve(texts, targets)

    def solve(self, texts: Sequence[Sequence[int]], targets: Tensor) -> None:
        """Solve for the weights of the n-grams that are known."""
        weight, bias = self._solve(self._matrix(texts), targets.numpy(force=True))
        self.weight, self.bias = (torch.from_numpy(x).to(self.idf) for x in (weight, bias))
        self._known = self._known._replace(weight=self.weight.numpy(force=True))

    def _prepare(self) -> None:
        """Make what the state implies."""
        code, end = self.code.numpy(force=True), self.end.numpy(force=True)
        self._ngrams = Ngrams(code, end, words=self.words, skips=self.skips, leads=self.leads)
        key, idf, weight = (x.numpy(force=True) for x in (self.key, self.idf, self.weight))
        self._known = Known(key, idf.astype(float), weight)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._prepare()

    def _features(self, occurrences: Occurrences, texts: int) -> Features:
        keys, idf = self._known.key, self._known.idf
        index = np.searchsorted(keys, occurrences.key)
        index[index == len(keys)] = 0
        known = keys[index] == occurrences.key if len(keys) else index < 0
        pair, entry, count = np.unique(
            occurrences.row[known] * len(keys) + index[known],
            return_inverse=True,
            return_counts=True,
        )
        row, index = np.divmod(pair, max(len(keys), 1))
        value = (1 + np.log(count)) * idf[index]
        block = 2 * row + (keys[index] & 1)
        length = np.sqrt(np.bincount(block, value**2, minlength=2 * texts))
        return Features(row, index, value / length[block], count, entry, known)

    def _frequencies(self, texts: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
        """Every n-gram's key, sorted, and in how many texts it occurs."""
        keys, counts = [], []
        for ids, lengths in _batches(texts):
            found = self._ngrams.occurrences(self._ngrams.spell(ids, lengths))
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
                self._ngrams.occurrences(self._ngrams.spell(ids, lengths)), len(ids)
            )
            parts.append((found.row + first, found.ngram, found.value))
            first += len(ids)
        row, index, value = map(np.concatenate, zip(*parts, strict=True))
        place = row.astype(np.int32), index.astype(np.int32)  # liblinear takes no wider ones
        return csr_array((value, place), shape=(len(texts), len(self._known.key)))

    def _solve(self, matrix: Any, targets: Ints) -> tuple[Floats, Floats]:
        """Weights `(n-grams, labels)` and biases: one label against the rest, for each of them."""
        if targets.ndim == 1:
            of_label = targets[:, None] == np.arange(self.labels)
            if self.labels == 2:  # the second against the first says it all
                weight, bias = self._separate(matrix, of_label[:, 1])
                return np.stack([-weight, weight], 1) / 2, np.array([-bias, bias]) / 2
        else:
            of_label = targets.astype(bool)
        solved = [self._separate(matrix, yes) for yes in of_label.T]
        weights, biases = zip(*solved, strict=True)
        return np.stack(weights, 1), np.array(biases)

    def _separate(self, matrix: Any, yes: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Weights and bias that tell texts with a label from those without."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        if yes.all() or not yes.any():
            return np.zeros(matrix.shape[1]), float(
                np.log((yes.sum() + 0.5) / ((~yes).sum() + 0.5))
            )
        mean_yes, mean_no = (
            (matrix[rows].sum(axis=0) + self.smoothing) / rows.sum() for rows in (yes, ~yes)
        )
        ratio = np.abs(np.log(mean_yes / mean_no))
        strength, scale = 1 / self.penalty, 1.0
        if self.margin == "hinge":
            # Margins of 1 stand for odds of e^2 to 1, so that they can be read, and added, as logits.
            solver, scale = LinearSVC(C=strength, max_iter=10_000, random_state=0), 2.0
        else:
            solver = LogisticRegression(C=strength, max_iter=1000)
        solver.fit(matrix.multiply(ratio).tocsr(), yes)
        return scale * ratio * solver.coef_[0], scale * float(solver.intercept_[0])


class WideAndDeep(Classifier):
    """`wide`: the sum of a wide part's logits and a share of a deep part's (Cheng et al. 2016).

    Few texts teach little about a word, and what they teach a linear model learns best; order and context
    need a deep one. Here the wide part is solved before training begins and the deep part is trained as if
    it were alone, since beside a part that already knows the training texts by heart there is nothing left
    to learn. In use their logits are added: a product of experts (Hinton 2002).

    Maps are those of the deep part; `wide.contributions` says what the wide part made of each token.
    """

    settings: WideSettings

    def __init__(self, settings: WideSettings) -> None:
        super().__init__()
        self.settings = settings
        self.wide = Wide(settings)
        self.deep: Classifier = build(settings.of_deep())

    def survey(
        self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor
    ) -> None:
        """Solve the wide part."""
        self.deep.survey(surfaces, texts, targets)
        self.wide.fit(surfaces, texts, targets)
        sizes = {"letters": len(self.wide.code), "ngrams": len(self.wide.key)}
        self.settings = self.settings.replace(**sizes)

    def settle(self, texts: Sequence[Sequence[int]], targets: Tensor) -> bool:
        """Solve the wide part again: a tenth more texts cost a second and are worth a point of accuracy."""
        self.wide.solve(texts, targets)
        return True

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """In training the deep part answers alone."""
        output: Output = self.deep(ids, lengths)
        if self.training:
            return output
        logits = self.wide(ids, lengths) + self.settings.share * output.logits
        return Output(logits, output.maps)


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[tuple[Ints, Ints]]:
    """Texts in order as padded ids and lengths, about `_CHUNK` tokens at a time."""
    batch: list[Sequence[int]] = []
    longest = 0
    for text in texts:
        if batch and max(longest, len(text)) * (len(batch) + 1) > _CHUNK:
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
