"""Scores of predicted labels: accuracy, F1 of each class, confusion matrix, calibration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import InputError, ShapeError
from regard.evaluation.metrics.intervals import Floats, bootstrap
from regard.evaluation.metrics.scores import Score, markdown

__all__ = [
    "Calibration",
    "ClassScores",
    "ClassificationScores",
    "MultilabelScores",
    "calibration",
    "score_label_sets",
    "score_labels",
]


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, in percent.

    Args:
        label: name of the class.
        precision: percentage of the predictions of this class that are right.
        recall: percentage of the examples of this class that were found.
        f1: harmonic mean of precision and recall.
        support: number of examples of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Calibration:
    """Agreement of a model's confidence with its accuracy, in bins of confidence.

    Args:
        error: expected calibration error in percent: the mean distance of confidence from accuracy.
        confidence: mean confidence of each non-empty bin, 0 to 1.
        accuracy: accuracy of the predictions in each bin, 0 to 1.
        count: number of predictions in each bin.
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
class ClassificationScores:
    """Scores of one predicted label per example.

    Args:
        labels: names of the classes.
        accuracy: percentage of right predictions.
        macro_f1: unweighted mean of the classes' F1.
        classes: scores of each class, in the order of `labels`.
        confusion: confusion matrix: examples of class `row` predicted as class `column`.
        calibration: calibration of the probabilities, if they were given.
    """

    labels: tuple[str, ...]
    accuracy: Score
    macro_f1: Score
    classes: tuple[ClassScores, ...]
    confusion: NDArray[np.int64]
    calibration: Calibration | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores by which systems are compared."""
        return self.accuracy, self.macro_f1

    def __str__(self) -> str:
        parts = [str(self.accuracy), str(self.macro_f1)]
        parts += [str(self.calibration)] if self.calibration else []
        return f"{', '.join(parts)}; {int(self.confusion.sum()):,} examples"

    def table(self) -> str:
        """Return the classes with the confusion matrix as a Markdown table."""
        header = ["class", "precision", "recall", "F1", "examples"]
        body = [
            [*_cells(scores), *map(str, row)]
            for scores, row in zip(self.classes, self.confusion.tolist(), strict=True)
        ]
        return markdown([[*header, *(f"as {label}" for label in self.labels)], *body])


@dataclass(frozen=True)
class MultilabelScores:
    """Scores of a predicted set of labels per example.

    Args:
        labels: names of the classes.
        micro_f1: F1 over all pairs of example and label.
        macro_f1: unweighted mean of the classes' F1.
        subset_accuracy: percentage of examples with exactly the right set.
        classes: scores of each class, in the order of `labels`.
    """

    labels: tuple[str, ...]
    micro_f1: Score
    macro_f1: Score
    subset_accuracy: Score
    classes: tuple[ClassScores, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores by which systems are compared."""
        return self.micro_f1, self.macro_f1, self.subset_accuracy

    def __str__(self) -> str:
        return ", ".join(map(str, self.scores))

    def table(self) -> str:
        """Return the classes as a Markdown table."""
        header = ["class", "precision", "recall", "F1", "examples"]
        return markdown([header, *map(_cells, self.classes)])


def score_labels(
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    probabilities: ArrayLike | None = None,
    seed: int = 0,
) -> ClassificationScores:
    """Score one predicted label per example.

    >>> from regard.evaluation import score_labels
    >>> round(score_labels(["a", "a", "b", "b"], ["a", "b", "b", "b"]).accuracy.value)
    75

    Args:
        gold: right label of each example.
        predicted: predicted label of each example.
        labels: names of all classes; by default those that occur.
        probabilities: `(examples, labels)` in the order of `labels`, for the calibration.
        seed: seed of the bootstrap.

    Raises:
        InputError: no examples, different numbers of labels, or an unknown label.
        ShapeError: probabilities of another shape.
    """
    _check(gold, predicted)
    names = tuple(labels) if labels is not None else tuple(sorted({*gold, *predicted}))
    right, guessed = (_indicators([{label} for label in side], names) for side in (gold, predicted))
    correct = np.array([a == b for a, b in zip(gold, predicted, strict=True)])
    calibrated = None
    if probabilities is not None:
        confidence = np.asarray(probabilities, dtype=np.float64)
        if confidence.shape != (len(gold), len(names)):
            raise ShapeError(
                f"probabilities {confidence.shape}, expected {(len(gold), len(names))}: "
                "examples, labels"
            )
        calibrated = calibration(confidence.max(axis=1), correct)
    return ClassificationScores(
        labels=names,
        accuracy=_mean("accuracy", correct, seed),
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
) -> MultilabelScores:
    """Score any number of predicted labels per example.

    >>> from regard.evaluation import score_label_sets
    >>> score_label_sets([{"a"}, {"a", "b"}], [{"a"}, {"b"}]).subset_accuracy.value
    50.0

    Args:
        gold: right labels of each example.
        predicted: predicted labels of each example.
        labels: names of all classes; by default those that occur.
        seed: seed of the bootstrap.

    Raises:
        InputError: no examples, different numbers of label sets, or an unknown label.
    """
    _check(gold, predicted)
    names = tuple(labels) if labels is not None else tuple(sorted(set().union(*gold, *predicted)))
    right, guessed = _indicators(gold, names), _indicators(predicted, names)
    sums = np.stack([(right & guessed).sum(1), right.sum(1), guessed.sum(1)], axis=1)
    micro = _f1(*sums.sum(axis=0)[:, None])[0]
    return MultilabelScores(
        labels=names,
        micro_f1=Score(
            "micro F1", 100 * micro, bootstrap(sums, lambda s: 100 * _f1(*s.T), seed=seed)
        ),
        macro_f1=_macro_f1(right, guessed, seed),
        subset_accuracy=_mean("subset accuracy", (right == guessed).all(axis=1), seed),
        classes=_classes(right, guessed, names),
    )


def calibration(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> Calibration:
    """Compute the expected calibration error (ECE) with bins of equal width (Guo et al. 2017).

    With n_b of the n examples in bin b, `ECE = sum_b n_b / n * |accuracy_b - confidence_b|`.

    >>> from regard.evaluation import calibration
    >>> calibration([0.75, 0.75, 0.75, 0.75], [True, True, True, False]).error
    0.0

    Args:
        confidence: probability of each prediction, `(examples,)`.
        correct: whether each prediction is right, `(examples,)`.
        bins: number of bins; a confidence on an edge belongs to the bin below it.
    """
    probability = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    bin_of = np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    mean_confidence = np.bincount(bin_of, probability, bins)[filled] / count[filled]
    accuracy = np.bincount(bin_of, right, bins)[filled] / count[filled]
    distance = np.abs(mean_confidence - accuracy)
    error = float(np.sum(count[filled] * distance) / len(probability))
    return Calibration(100 * error, mean_confidence, accuracy, count[filled])


def _check(gold: Sequence[object], predicted: Sequence[object]) -> None:
    if not gold or len(gold) != len(predicted):
        raise InputError(
            f"{len(gold):,} right and {len(predicted):,} predicted labels; expected equal numbers, "
            "at least one"
        )


def _indicators(label_sets: Sequence[Collection[str]], names: Sequence[str]) -> NDArray[np.int64]:
    """Return a matrix `(examples, labels)` with 1 where an example has a label."""
    column = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(label_sets), len(names)), dtype=np.int64)
    for row, labels in enumerate(label_sets):
        for label in labels:
            if label not in column:
                raise InputError(
                    f"example {row + 1} has the label {label!r}, known: {', '.join(names)}"
                )
            matrix[row, column[label]] = 1
    return matrix


def _f1(correct: Floats, gold: Floats, predicted: Floats) -> Floats:
    """F1 from counts; 0 for a class that neither occurs nor is predicted, as in scikit-learn."""
    total = np.asarray(gold + predicted, dtype=np.float64)
    f1: Floats = np.divide(2.0 * correct, total, out=np.zeros_like(total), where=total > 0)
    return f1


def _macro_f1(right: NDArray[np.int64], guessed: NDArray[np.int64], seed: int) -> Score:
    width = right.shape[1]
    statistics = np.concatenate([right & guessed, right, guessed], axis=1)

    def metric(sums: Floats) -> Floats:
        correct, gold, predicted = np.split(sums, [width, 2 * width], axis=1)
        means: Floats = _f1(correct, gold, predicted).mean(axis=1)
        return 100 * means

    value = float(metric(statistics.sum(axis=0, keepdims=True))[0])
    return Score("macro F1", value, bootstrap(statistics, metric, seed=seed))


def _mean(name: str, correct: NDArray[np.bool_], seed: int) -> Score:
    interval = bootstrap(correct[:, None], lambda sums: 100 * sums[:, 0] / len(correct), seed=seed)
    return Score(name, 100 * float(correct.mean()), interval)


def _classes(
    right: NDArray[np.int64], guessed: NDArray[np.int64], names: Sequence[str]
) -> tuple[ClassScores, ...]:
    correct, gold, predicted = (right & guessed).sum(0), right.sum(0), guessed.sum(0)
    precision, recall = correct / np.maximum(predicted, 1), correct / np.maximum(gold, 1)
    f1 = _f1(correct, gold, predicted)
    return tuple(
        ClassScores(name, 100 * float(p), 100 * float(r), 100 * float(f), int(n))
        for name, p, r, f, n in zip(names, precision, recall, f1, gold, strict=True)
    )


def _cells(scores: ClassScores) -> list[str]:
    percentages = scores.precision, scores.recall, scores.f1
    return [scores.label, *(f"{value:.1f}" for value in percentages), str(scores.support)]
