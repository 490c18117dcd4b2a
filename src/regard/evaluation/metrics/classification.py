"""How good predicted labels are: accuracy, F1 for each class, confusion, calibration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import InputError, ShapeError
from regard.evaluation.metrics.scores import Floats, Score, bootstrap, markdown

__all__ = [
    "Calibration",
    "ClassScore",
    "Labelling",
    "MultiLabelling",
    "calibration",
    "score_label_sets",
    "score_labels",
]


@dataclass(frozen=True)
class ClassScore:
    """Figures for one class, in percent; `support` examples really belong to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Calibration:
    """Whether a model that says 80 percent is right 80 times of a hundred.

    Args:
        error: expected calibration error in percent: the mean distance of confidence from accuracy.
        confidence: mean of each bin that holds predictions, 0 to 1.
        accuracy: of the predictions in it, 0 to 1.
        count: how many they are.
    """

    error: float
    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]

    def __str__(self) -> str:
        return f"calibration error {self.error:.1f}"

    def table(self) -> str:
        """Return the bins as a Markdown table."""
        rows = zip(self.confidence, self.accuracy, self.count, strict=True)
        body = [[f"{100 * c:.1f}", f"{100 * a:.1f}", f"{n:,}"] for c, a, n in rows]
        return markdown([["confidence", "accuracy", "predictions"], *body])


@dataclass(frozen=True)
class Labelling:
    """How well one label per example was predicted.

    Args:
        labels: names of the classes.
        accuracy: share of right predictions.
        macro_f1: mean of the classes' F1, each counting the same.
        classes: figures of each class, in the order of `labels`.
        confusion: examples of class `row` predicted as class `column`.
        calibration: when probabilities were given.
    """

    labels: tuple[str, ...]
    accuracy: Score
    macro_f1: Score
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    calibration: Calibration | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        """The figures to compare systems by."""
        return self.accuracy, self.macro_f1

    def __str__(self) -> str:
        parts = [str(self.accuracy), str(self.macro_f1)]
        parts += [str(self.calibration)] if self.calibration else []
        return f"{', '.join(parts)}; {int(self.confusion.sum()):,} examples"

    def table(self) -> str:
        """Return the classes with their confusion as a Markdown table."""
        header = ["class", "precision", "recall", "F1", "examples"]
        body = [
            [*_row(one), *map(str, row)]
            for one, row in zip(self.classes, self.confusion.tolist(), strict=True)
        ]
        return markdown([[*header, *(f"as {label}" for label in self.labels)], *body])


@dataclass(frozen=True)
class MultiLabelling:
    """How well sets of labels were predicted.

    Args:
        labels: names of the classes.
        micro_f1: over all decisions.
        macro_f1: mean of the classes' F1.
        exact: share of examples with exactly the right set.
        classes: figures of each class.
    """

    labels: tuple[str, ...]
    micro_f1: Score
    macro_f1: Score
    exact: Score
    classes: tuple[ClassScore, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The figures to compare systems by."""
        return self.micro_f1, self.macro_f1, self.exact

    def __str__(self) -> str:
        return ", ".join(map(str, self.scores))

    def table(self) -> str:
        """Return the classes as a Markdown table."""
        header = ["class", "precision", "recall", "F1", "examples"]
        return markdown([header, *map(_row, self.classes)])


def score_labels(
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    probabilities: ArrayLike | None = None,
    seed: int = 0,
) -> Labelling:
    """Score one label per example.

    Args:
        gold: the right labels.
        predicted: the predicted ones.
        labels: names of all classes; by default those that occur.
        probabilities: `(examples, labels)` in the order of `labels`, for the calibration.
        seed: of the bootstrap.
    """
    _check(gold, predicted)
    names = tuple(labels) if labels is not None else tuple(sorted({*gold, *predicted}))
    right, guessed = (
        _indicators([{label} for label in given], names) for given in (gold, predicted)
    )
    hits = np.array([a == b for a, b in zip(gold, predicted, strict=True)])
    calibrated = None
    if probabilities is not None:
        confidence = np.asarray(probabilities, dtype=np.float64)
        if confidence.shape != (len(gold), len(names)):
            raise ShapeError(
                f"probabilities {confidence.shape}, expected {(len(gold), len(names))}: "
                "examples, labels"
            )
        calibrated = calibration(confidence.max(axis=1), hits)
    return Labelling(
        labels=names,
        accuracy=_mean("accuracy", hits, seed),
        macro_f1=_macro_f1(right, guessed, seed),
        classes=_classes(right, guessed, names),
        confusion=right.T @ guessed,
        calibration=calibrated,
    )


def score_label_sets(
    gold: Sequence[Collection[str]],
    predicted: Sequence[Collection[str]],
    *,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> MultiLabelling:
    """Score any number of labels per example.

    Args:
        gold: the right labels of each example.
        predicted: the predicted ones.
        labels: names of all classes; by default those that occur.
        seed: of the bootstrap.
    """
    _check(gold, predicted)
    names = tuple(labels) if labels is not None else tuple(sorted(set().union(*gold, *predicted)))
    right, guessed = _indicators(gold, names), _indicators(predicted, names)
    sums = np.stack([(right & guessed).sum(1), right.sum(1), guessed.sum(1)], axis=1)
    micro = _f1(*sums.sum(axis=0)[:, None])[0]
    return MultiLabelling(
        labels=names,
        micro_f1=Score(
            "micro F1", 100 * micro, bootstrap(sums, lambda s: 100 * _f1(*s.T), seed=seed)
        ),
        macro_f1=_macro_f1(right, guessed, seed),
        exact=_mean("exact sets", (right == guessed).all(axis=1), seed),
        classes=_classes(right, guessed, names),
    )


def calibration(confidence: ArrayLike, hits: ArrayLike, *, bins: int = 15) -> Calibration:
    """Expected calibration error with bins of equal width (Guo et al. 2017).

    Args:
        confidence: probability the model gave to its prediction, `(examples,)`.
        hits: whether the prediction was right, `(examples,)`.
        bins: how many; a confidence on the edge belongs to the bin below it.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(hits, dtype=np.float64)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    mean_sure = np.bincount(place, sure, bins)[filled] / count[filled]
    mean_right = np.bincount(place, right, bins)[filled] / count[filled]
    error = float(np.sum(count[filled] * np.abs(mean_sure - mean_right)) / len(sure))
    return Calibration(100 * error, mean_sure, mean_right, count[filled])


def _check(gold: Sequence[object], predicted: Sequence[object]) -> None:
    if not gold or len(gold) != len(predicted):
        raise InputError(
            f"{len(gold):,} right and {len(predicted):,} predicted labels, expected as many, "
            "at least one"
        )


def _indicators(given: Sequence[Collection[str]], names: Sequence[str]) -> NDArray[np.int64]:
    """Return `(examples, labels)`: 1 where an example has a label."""
    place = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(given), len(names)), dtype=np.int64)
    for row, labels in enumerate(given):
        for label in labels:
            if label not in place:
                raise InputError(
                    f"example {row + 1} has the label {label!r}, known: {', '.join(names)}"
                )
            matrix[row, place[label]] = 1
    return matrix


def _f1(hits: Floats, gold: Floats, predicted: Floats) -> Floats:
    """F1 from counts; a class neither there nor predicted has 0, as in scikit-learn."""
    total = np.asarray(gold + predicted, dtype=np.float64)
    f1: Floats = np.divide(2.0 * hits, total, out=np.zeros_like(total), where=total > 0)
    return f1


def _macro_f1(right: NDArray[np.int64], guessed: NDArray[np.int64], seed: int) -> Score:
    width = right.shape[1]
    statistics = np.concatenate([right & guessed, right, guessed], axis=1)

    def metric(sums: Floats) -> Floats:
        hits, gold, predicted = sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width :]
        means: Floats = _f1(hits, gold, predicted).mean(axis=1)
        return 100 * means

    value = float(metric(statistics.sum(axis=0, keepdims=True))[0])
    return Score("macro F1", value, bootstrap(statistics, metric, seed=seed))


def _mean(name: str, hits: NDArray[np.bool_], seed: int) -> Score:
    interval = bootstrap(hits[:, None], lambda sums: 100 * sums[:, 0] / len(hits), seed=seed)
    return Score(name, 100 * float(hits.mean()), interval)


def _classes(
    right: NDArray[np.int64], guessed: NDArray[np.int64], names: Sequence[str]
) -> tuple[ClassScore, ...]:
    hits, gold, predicted = (right & guessed).sum(0), right.sum(0), guessed.sum(0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(gold, 1)
    f1 = _f1(hits, gold, predicted)
    return tuple(
        ClassScore(name, 100 * float(p), 100 * float(r), 100 * float(f), int(n))
        for name, p, r, f, n in zip(names, precision, recall, f1, gold, strict=True)
    )


def _row(one: ClassScore) -> list[str]:
    return [one.label, *(f"{v:.1f}" for v in (one.precision, one.recall, one.f1)), str(one.support)]
