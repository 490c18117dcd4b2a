"""Explanation of a prediction as plain data: how much each word counts, by several methods side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regard.errors import InputError, ShapeError, nearest
from regard.viewing.data.summary import FloatArray, full_share
from regard.viewing.data.tokens import Tokens

__all__ = ["Attribution", "Explanation", "Prediction", "probability_after"]

_FULL_LOG_ODDS = 1.0  # a full bar is at least this: odds that change by a factor of e


@dataclass(frozen=True)
class Prediction:
    """What a classifier answered.

    Attributes:
        labels: those that apply, the most probable first; one, unless a text may have several.
        probabilities: every label with its probability, the most probable first.
    """

    labels: tuple[str, ...]
    probabilities: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Scores of the words of a text by one method.

    Attributes:
        name: `"attention"`, `"n-grams"` or `"leave-one-out"`.
        values: `(words,)`; NaN where a word was not measured.
        signed: whether a score speaks for (above 0) or against (below 0) the label. If not, the scores are
            shares of 1.
        about: what the scores are, as a sentence.
    """

    name: str
    values: FloatArray
    signed: bool
    about: str

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def full(self) -> float:
        """The score that a full bar stands for.

        The largest, and at least four times an even share of attention, or log-odds of 1: scores that are
        all small, or all nearly equal, never look like strong ones.
        """
        known = self.values[np.isfinite(self.values)]
        if not self.signed:
            return full_share(known)
        return max(float(np.abs(known).max(initial=0.0)), _FULL_LOG_ODDS)

    @property
    def scale(self) -> str:
        """What a full bar means, in words."""
        if self.signed:
            return f"full bar: {self.full:.2f} in log-odds"
        even = 1 / max(1, self.values.size)
        return f"full bar: {self.full:.1%}; an even share is {even:.1%}"

    @property
    def levels(self) -> FloatArray:
        """Scores relative to a full bar, from -1 to 1; 0 where a word was not measured."""
        return np.asarray(np.nan_to_num(self.values / self.full, nan=0.0))

    def ranking(self) -> list[int]:
        """Positions by falling size of the score, whatever its sign; ties in the order of the text."""
        sizes = np.abs(np.nan_to_num(self.values, nan=0.0))
        return [int(i) for i in np.argsort(-sizes, kind="stable")]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Scores of each word for one label, by several methods.

    Methods answer different questions and may disagree. The one in front is the one that was found
    faithful, if that was measured; `reason` says on what ground it is in front.

    Attributes:
        tokens: the words of the text, special tokens included.
        label: the label that the scores are about.
        probability: of that label.
        attributions: the scores, the ones in front first.
        reason: why the first are in front, as a sentence.
    """

    tokens: Tokens
    label: str
    probability: float
    attributions: tuple[Attribution, ...]
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributions", tuple(self.attributions))
        if not self.attributions:
            raise InputError("an explanation without scores; give at least one attribution")
        for scores in self.attributions:
            if scores.values.shape != (len(self.tokens),):
                raise ShapeError(
                    f"attribution {scores.name!r} has scores of shape {scores.values.shape} for "
                    f"{len(self.tokens)} words; give one for each"
                )

    @property
    def front(self) -> Attribution:
        """The scores that are shown first."""
        return self.attributions[0]

    def __getitem__(self, name: str) -> Attribution:
        """Scores by the name of their method."""
        found = {scores.name: scores for scores in self.attributions}
        if name not in found:
            raise InputError(f"no attribution {name!r}; {nearest(name, found)}")
        return found[name]

    def __repr__(self) -> str:
        names = ", ".join(scores.name for scores in self.attributions)
        return f"Explanation({self.label!r}, {len(self.tokens)} words, by {names})"


def probability_after(probability: float, fall: float) -> float:
    """Probability after its log-odds fall by so much.

    >>> round(probability_after(0.9, np.log(9)), 6)
    0.5
    """
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.log(probability) - np.log1p(-probability) - fall
        return float(1 / (1 + np.exp(-odds)))
