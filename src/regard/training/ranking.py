"""Order of the validations of a run: which weights are better, and by which figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Comparison", "Ranking"]

_LOWER_IS_BETTER = ("loss", "perplexity", "error")


class Comparison(NamedTuple):
    """Outcome of comparing two validations.

    Attributes:
        better: whether the newer one is better.
        decided_by: figure in which they differ, the first one in the order of the ranking; `None` if
            they are equal or there was nothing to compare with.
    """

    better: bool
    decided_by: str | None


@dataclass(frozen=True)
class Ranking:
    """Order of the validations of a run.

    The metric decides. Between validations with equal values of it, the first figure of `ties` in
    which they differ decides. Losses, perplexities and errors should be low, all others high.

    Values that are no better than the metric's floor are equal: a model that has learned nothing
    reaches the floor by chance, so they measure nothing, and the ties decide.

    >>> ranking = Ranking("bleu", ties=("chrf", "loss"), floors={"bleu": 1.0})
    >>> ranking.compare({"bleu": 0.3, "chrf": 40.0}, {"bleu": 0.6, "chrf": 12.0})
    Comparison(better=True, decided_by='chrf')

    Args:
        metric: figure that decides.
        ties: figures that decide between equal values, in this order; those that a validation lacks
            are passed over.
        floors: value of a figure that a model reaches without having learned anything.
        keep_earliest: keep the earliest of equal values of the metric that are better than its floor, so
            that ties decide only below it.
    """

    metric: str
    ties: tuple[str, ...] = ()
    floors: Mapping[str, float] = field(default_factory=dict)
    keep_earliest: bool = False

    @staticmethod
    def lower_is_better(metric: str) -> bool:
        """Return `True` for losses, perplexities and errors."""
        return metric.endswith(_LOWER_IS_BETTER)

    def measured(self, metrics: Mapping[str, float]) -> bool:
        """Return `True` if the metric is better than its floor."""
        floor = self.floors.get(self.metric)
        return floor is None or _better(self.metric, metrics[self.metric], floor)

    def compare(self, metrics: Mapping[str, float], best: Mapping[str, float] | None) -> Comparison:
        """Compare a validation with the best one before it.

        Args:
            metrics: figures of the validation by name.
            best: those of the best one before; `None` for the first validation, which is better.
        """
        if best is None:
            return Comparison(True, None)
        for name in dict.fromkeys((self.metric, *self.ties)):
            if name != self.metric and not (name in metrics and name in best):
                continue
            new, old = (self._above_floor(name, values[name]) for values in (metrics, best))
            if new != old:
                return Comparison(_better(name, new, old), name)
            if self.keep_earliest and self.measured(best):
                break
        return Comparison(False, None)

    def _above_floor(self, name: str, value: float) -> float:
        """Value of a figure, or its floor if that is better."""
        floor = self.floors.get(name)
        return floor if floor is not None and not _better(name, value, floor) else value


def _better(name: str, new: float, old: float) -> bool:
    return new < old if Ranking.lower_is_better(name) else new > old
