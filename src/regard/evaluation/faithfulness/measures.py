"""The arithmetic of faithfulness: erasing tokens, ranking them, and intervals around means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from regard.evaluation.metrics.scores import Floats, bootstrap

__all__ = [
    "Floats",
    "Ids",
    "Interval",
    "Way",
    "budgets",
    "erase",
    "interval",
    "keep",
    "rank_agreement",
    "ranking",
    "total_variation",
    "without",
]

Ids = Sequence[int]
Way = Literal["delete", "mask"]


@dataclass(frozen=True)
class Interval:
    """A mean over texts with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(values: ArrayLike, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """The mean of one value per text, with its interval.

    To compare two methods give the differences text by text: pairing removes what makes one text
    harder than another.
    """
    sample = np.asarray(values, dtype=np.float64)
    low, high = bootstrap(
        sample[:, None], lambda sums: sums[:, 0] / len(sample), samples=resamples, seed=seed
    )
    return Interval(float(sample.mean()), low, high)


def budgets(tokens: int, shares: Iterable[float]) -> list[int]:
    """How many tokens each share of a text of `tokens` is: at least one.

    >>> budgets(12, (0.01, 0.2, 0.5))
    [1, 3, 6]
    """
    return [max(1, int(np.ceil(share * tokens))) for share in shares]


def ranking(scores: ArrayLike, positions: Sequence[int]) -> list[int]:
    """`positions` from the highest score to the lowest; ties keep the order of the text."""
    values = np.asarray(scores)[list(positions)]
    return [positions[i] for i in np.argsort(-values, kind="stable")]


def erase(text: Ids, positions: Iterable[int], *, way: Way, mask_id: int) -> list[int]:
    """`text` without the tokens at `positions`: gone, or `mask_id` in their place.

    A text of which nothing is left becomes one `mask_id`, since models do not take empty texts.
    """
    gone = set(positions)
    if way == "mask":
        return [mask_id if i in gone else token for i, token in enumerate(text)]
    return [token for i, token in enumerate(text) if i not in gone] or [mask_id]


def keep(
    text: Ids, kept: Iterable[int], candidates: Iterable[int], *, way: Way, mask_id: int
) -> list[int]:
    """`text` with only the `kept` ones of the `candidates`; other tokens (special ones) stay."""
    return erase(text, set(candidates) - set(kept), way=way, mask_id=mask_id)


def without(weights: Floats, positions: Sequence[int]) -> Floats:
    """Weights `(heads, length)` with nothing at `positions`, the rest scaled to sum to 1 again."""
    left = weights.copy()
    left[:, list(positions)] = 0
    total = left.sum(-1, keepdims=True)
    rest: Floats = np.divide(left, total, out=np.zeros_like(left), where=total > 0)
    return rest


def total_variation(p: ArrayLike, q: ArrayLike) -> Floats:
    """Half the summed absolute difference of distributions (last axis): 0 same, 1 disjoint."""
    distance: Floats = 0.5 * np.abs(np.asarray(p) - np.asarray(q)).sum(-1)
    return distance


def rank_agreement(scores: ArrayLike, effects: ArrayLike) -> float:
    """Kendall's tau-b: 1 same order, 0 unrelated, -1 reversed; 0 where nothing can be ordered."""
    from scipy.stats import kendalltau

    first, second = np.asarray(scores), np.asarray(effects)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(kendalltau(first, second).statistic)
