"""Bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Floats", "Interval", "bootstrap", "mean_interval"]

Floats = NDArray[np.float64]

_MAX_DRAWS = 4_000_000
"""Random draws held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A mean over texts with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def mean_interval(values: ArrayLike, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Return the mean of one value per text with its bootstrap interval.

    To compare two methods, pass the difference of each text: pairing removes the variance between
    easy and hard texts.

    >>> from regard.evaluation.metrics.intervals import mean_interval
    >>> mean_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    sample = np.asarray(values, dtype=np.float64)
    low, high = bootstrap(
        sample[:, None], lambda sums: sums[:, 0] / len(sample), resamples=resamples, seed=seed
    )
    return Interval(float(sample.mean()), low, high)


def bootstrap(
    statistics: ArrayLike,
    metric: Callable[[Floats], Floats],
    *,
    resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a metric of sums over examples (Efron 1979).

    The test set is resampled with replacement. The metric depends on sums only, so a resample is a
    row of counts, and the sums of all resamples are one matrix product of counts and statistics.

    Args:
        statistics: statistics of each example, `(examples, statistics)`. For accuracy it is one: 1
            where the prediction is right, else 0.
        metric: maps the sums over each resampled test set, `(resamples, statistics)`, to
            `(resamples,)` values.
        resamples: number of resampled test sets.
        confidence_level: fraction of the resamples inside the interval.
        seed: seed of the resampling.

    >>> from regard.evaluation import bootstrap
    >>> bootstrap([[1.0], [1.0]], lambda sums: sums[:, 0] / 2)
    (1.0, 1.0)
    """
    values = np.atleast_2d(np.asarray(statistics, dtype=np.float64))
    count = len(values)
    rng = np.random.default_rng(seed)
    chunk = max(1, _MAX_DRAWS // count)
    results = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        # Resample r counts its draws in bins r * count to (r + 1) * count, so one bincount does all.
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        results.append(metric(counts @ values))
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(np.concatenate(results), [tail, (1 + confidence_level) / 2])
    return float(low), float(high)
