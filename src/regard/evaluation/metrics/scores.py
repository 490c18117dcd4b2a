"""A figure with what makes it honest: its interval, and how it was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Score", "bootstrap", "comparison"]

Floats = NDArray[np.float64]

_AT_ONCE = 4_000_000
"""Draws held in memory at once."""


@dataclass(frozen=True)
class Score:
    """One figure on one test set.

    Args:
        name: of the metric.
        value: in percent, 0 to 100.
        interval: where the value would lie in 95 of 100 test sets like this one, by the bootstrap.
        signature: how it was computed, for others to do the same.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    signature: str = ""

    def __str__(self) -> str:
        signature = f" [{self.signature}]" if self.signature else ""
        return f"{self.name} {self.figure}{signature}"

    @property
    def figure(self) -> str:
        """The value with its interval: `36.5 (35.3 to 37.7)`."""
        if self.interval is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.interval[0]:.1f} to {self.interval[1]:.1f})"

    def table(self) -> str:
        """Return the score as a Markdown table of one row."""
        return comparison({"": [self]})


def comparison(systems: Mapping[str, Iterable[Score]]) -> str:
    """Return systems side by side as a Markdown table: a row each, a column for each metric.

    >>> print(comparison({"model": [Score("BLEU", 36.5)], "copy": [Score("BLEU", 3.2)]}))
    |       | BLEU |
    |-------|------|
    | model | 36.5 |
    | copy  | 3.2  |
    """
    rows = {
        system: {score.name: score.figure for score in scores} for system, scores in systems.items()
    }
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [["", *names]]
    cells += [[system, *(row.get(name, "") for name in names)] for system, row in rows.items()]
    return markdown(cells)


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as an aligned Markdown table; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def bootstrap(
    statistics: ArrayLike,
    metric: Callable[[Floats], Floats],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a metric of sums over examples (Efron 1979).

    The test set is drawn anew, with replacement, `samples` times; since only sums matter, a drawn
    set is a row of counts and all of them are one matrix product.

    Args:
        statistics: of each example, `(examples, statistics)`: for accuracy, whether it is right.
        metric: turns sums `(samples, statistics)` over as many examples as there are into
            `(samples,)`.
        samples: how many test sets are drawn.
        level: the share of them inside the interval.
        seed: same seed, same interval.
    """
    values = np.atleast_2d(np.asarray(statistics, dtype=np.float64))
    count = len(values)
    rng = np.random.default_rng(seed)
    chunk = max(1, _AT_ONCE // count)
    results = []
    for start in range(0, samples, chunk):
        rows = min(chunk, samples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        results.append(metric(counts @ values))
    low, high = np.quantile(np.concatenate(results), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
