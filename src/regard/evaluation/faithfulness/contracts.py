"""What a classifier must offer to be examined, and how thoroughly it is examined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Protocol, runtime_checkable

from numpy.typing import ArrayLike
from pydantic import Field

from regard.engines import Each, Here
from regard.evaluation.metrics.intervals import Floats, Interval, mean_interval
from regard.settings import Settings

__all__ = [
    "ComparedClassifier",
    "ExplainableClassifier",
    "Ids",
    "ReweightableClassifier",
    "SpreadClassifier",
    "TrustSettings",
    "predict_each",
    "predict_each_with_attention",
]

Ids = Sequence[int]
"""Token ids of one text."""


class ExplainableClassifier(Protocol):
    """A classifier of token ids that gives probabilities, attention and gradient x input."""

    mask_id: int
    """Id that replaces a masked token."""
    special_ids: frozenset[int]
    """Ids of tokens that are not part of the text; they are never erased."""
    multilabel: bool
    """Whether a text may have any number of labels, each with an independent probability."""

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Return probabilities `(texts, labels)`; rows sum to 1 unless `multilabel`."""
        ...

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        """Return the attention weight of each token, `(heads, length)` for each text."""
        ...

    def gradient_x_input(self, texts: Sequence[Ids]) -> list[Floats]:
        """Return gradient x input of the predicted label, `(length,)` for each text."""
        ...


@runtime_checkable
class ReweightableClassifier(ExplainableClassifier, Protocol):
    """A classifier whose attention weights can be replaced, as the weight controls require."""

    def predict_with_attention(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Return probabilities `(texts, labels)` under the given weights, `(heads, length)` each."""
        ...


@runtime_checkable
class ComparedClassifier(ExplainableClassifier, Protocol):
    """A classifier whose attention is compared with more attributions than gradient x input."""

    def rivals(self, texts: Sequence[Ids]) -> Mapping[str, list[Floats]]:
        """Return attributions of the predicted label by name, `(length,)` for each text."""
        ...


@runtime_checkable
class SpreadClassifier(ExplainableClassifier, Protocol):
    """A classifier whose functions may be called in several processes.

    Attributes:
        each: calls functions of such a classifier with item after item.
    """

    each: Each


def predict_each(model: ExplainableClassifier, texts: Iterable[Sequence[Ids]]) -> Iterator[Floats]:
    """Yield the model's probabilities for one list of texts after another."""
    each = model.each if isinstance(model, SpreadClassifier) else Here(model)
    return each(_predict, texts)


def predict_each_with_attention(
    model: ReweightableClassifier, changed: Iterable[tuple[Sequence[Ids], Sequence[Floats]]]
) -> Iterator[Floats]:
    """Yield the model's probabilities for one pair of texts and weights after another."""
    each = model.each if isinstance(model, SpreadClassifier) else Here(model)
    return each(_predict_with_attention, changed)


def _predict(model: ExplainableClassifier, texts: Sequence[Ids]) -> Floats:
    return model.predict(texts)


def _predict_with_attention(
    model: ReweightableClassifier, changed: tuple[Sequence[Ids], Sequence[Floats]]
) -> Floats:
    return model.predict_with_attention(*changed)


_Count = Annotated[int, Field(ge=1)]
_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class TrustSettings(Settings):
    """Sample sizes, thresholds and the seed of an examination.

    Attributes:
        token_fractions: fractions of a text's tokens that are erased (the five of ERASER).
        random_rankings: random rankings of the tokens drawn per text, as the baseline.
        max_left_out: most tokens of a text that are left out one at a time.
        permutations: shuffles of the attention weights per text.
        removal_steps: most steps in which all weights of a text are removed.
        resamples: resamples of the bootstrap behind each interval.
        unchanged_below: threshold under which shuffling counts as leaving the answer unchanged. Both
            the total variation and the fraction of flipped decisions must be below it: a model that
            is unsure of every answer changes its probabilities little and its decisions often.
        seed: seed of every random choice.

    Raises:
        SettingsError: an unknown name, or a value that is not allowed.
    """

    title: ClassVar[str] = "trust"

    token_fractions: tuple[_Fraction, ...] = (0.01, 0.05, 0.1, 0.2, 0.5)
    random_rankings: _Count = 5
    max_left_out: _Count = 64
    permutations: _Count = 20
    removal_steps: _Count = 20
    resamples: _Count = 1000
    unchanged_below: _Fraction = 0.05
    seed: Annotated[int, Field(ge=0)] = 0

    def interval(self, values: ArrayLike) -> Interval:
        """Return the mean of one value per text with its bootstrap interval."""
        return mean_interval(values, seed=self.seed, resamples=self.resamples)
