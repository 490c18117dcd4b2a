"""One text under examination: its prediction, and how attention and gradient rank its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import InputError
from regard.evaluation.faithfulness.contracts import (
    ComparedClassifier,
    ExplainableClassifier,
    Ids,
)
from regard.evaluation.metrics.intervals import Floats

__all__ = [
    "LABEL_THRESHOLD",
    "RANKINGS",
    "Instance",
    "make_instances",
    "rank_positions",
    "total_variation",
]

RANKINGS = ("attention", "gradient", "random")
"""Names of the rankings that are compared; "gradient" is gradient x input."""

LABEL_THRESHOLD = 0.5
"""Probability from which a label is predicted where a text may have several."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One text with the prediction to be explained.

    Where a text may have several labels, the prediction examined is that the likeliest one applies.

    Attributes:
        text: token ids.
        erasable: positions of the tokens that may be erased.
        reweightable: positions whose attention weights may be replaced.
        probabilities: predicted probabilities, `(labels,)`.
        weights: attention weights, `(heads, length)`.
        gradient_x_input: attribution of each token, `(length,)`.
        multilabel: whether each label has an independent probability.
        rivals: further attributions by name, `(length,)` each.
        label: index of the likeliest label.
    """

    text: list[int]
    erasable: list[int]
    reweightable: list[int]
    probabilities: Floats
    weights: Floats
    gradient_x_input: Floats
    multilabel: bool = False
    rivals: Mapping[str, Floats] = field(default_factory=dict)
    label: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", int(self.probabilities.argmax()))

    def distances(self, probabilities: Floats) -> Floats:
        """Return the total variation from the prediction, 0 to 1, of each row of probabilities."""
        if self.multilabel:  # of the two outcomes (p, 1 - p) of the label examined
            return np.asarray(abs(probabilities[:, self.label] - self.probabilities[self.label]))
        return total_variation(probabilities, self.probabilities)

    def flips(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return, for each row of probabilities, whether it leads to another decision."""
        if self.multilabel:
            return np.asarray(probabilities[:, self.label] < LABEL_THRESHOLD)
        return np.asarray(probabilities.argmax(-1) != self.label)

    @property
    def attributions(self) -> Mapping[str, Floats]:
        """Score of each token by ranking: those of `RANKINGS` without "random", then the rivals."""
        own = {"attention": self.weights.mean(0), "gradient": self.gradient_x_input}
        return {**own, **self.rivals}


def make_instances(model: ExplainableClassifier, texts: Sequence[Ids]) -> list[Instance]:
    """Compute prediction, attention and gradient x input of each text.

    Texts without ordinary tokens are left out, and so are texts that are given no label: the absence
    of labels is no prediction that some token could be the reason for.

    Raises:
        InputError: no text is left.
    """
    ordinary = [[i for i, t in enumerate(text) if t not in model.special_ids] for text in texts]
    chosen = [n for n, positions in enumerate(ordinary) if positions]
    if not chosen:
        raise InputError(
            f"{len(texts)} texts without any ordinary token; give texts with words to examine"
        )
    probabilities = model.predict([texts[n] for n in chosen])
    if model.multilabel:
        labelled = probabilities.max(-1) >= LABEL_THRESHOLD
        chosen = [n for n, has_label in zip(chosen, labelled, strict=True) if has_label]
        probabilities = probabilities[labelled]
        if not chosen:
            raise InputError(
                f"the model gives no label to any of {len(texts)} texts, so there is no answer to "
                "explain; give texts of the kind it was trained on, or train it longer"
            )
    kept = [list(texts[n]) for n in chosen]
    rivals = model.rivals(kept) if isinstance(model, ComparedClassifier) else {}
    columns = zip(
        chosen,
        kept,
        probabilities,
        model.attention(kept),
        model.gradient_x_input(kept),
        strict=True,
    )
    return [
        Instance(
            text,
            ordinary[n],
            [*range(len(text))],
            row,
            weights,
            gradient,
            model.multilabel,
            {name: scores[index] for name, scores in rivals.items()},
        )
        for index, (n, text, row, weights, gradient) in enumerate(columns)
    ]


def rank_positions(scores: ArrayLike, positions: Sequence[int]) -> list[int]:
    """Sort positions by descending score; ties keep their order.

    >>> from regard.evaluation.faithfulness.instances import rank_positions
    >>> rank_positions([0.1, 0.9, 0.5], [0, 1, 2])
    [1, 2, 0]
    """
    values = np.asarray(scores)[list(positions)]
    return [positions[i] for i in np.argsort(-values, kind="stable")]


def total_variation(p: ArrayLike, q: ArrayLike) -> Floats:
    """Return the total variation distance `sum |p - q| / 2` over the last axis.

    It is 0 for equal distributions and 1 for disjoint ones.

    >>> from regard.evaluation.faithfulness.instances import total_variation
    >>> float(total_variation([0.5, 0.5], [0.25, 0.75]))
    0.25
    """
    distance: Floats = 0.5 * np.abs(np.asarray(p) - np.asarray(q)).sum(-1)
    return distance
