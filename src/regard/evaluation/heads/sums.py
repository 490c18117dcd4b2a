"""Means over the queries of a corpus, with intervals, from sums that never grow with the corpus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Means", "RatioSums"]

Floats = NDArray[np.float64]


class Means(NamedTuple):
    """Means with their 95 % intervals, arrays of one shape; NaN where there is nothing to average.

    Attributes:
        mean: over all queries of all texts.
        low: lower end of the interval; NaN with fewer than two texts.
        high: upper end.
    """

    mean: Floats
    low: Floats
    high: Floats


class RatioSums:
    r"""Sums over texts from which a ratio and its standard error follow (Cochran 1977, chapter 6).

    Text `t` adds a sum `x_t` over its `c_t` queries. The mean over all queries is a ratio of sums, and its
    texts, not its queries, are what was sampled:

    .. math:: R = \frac{\sum_t x_t}{\sum_t c_t}, \qquad
        s_R^2 = \frac{n}{n - 1} \cdot \frac{\sum_t (x_t - R c_t)^2}{(\sum_t c_t)^2}

    with `n` the number of texts that have such queries. The sum of squares is expanded, so that six sums are
    all that is kept, and a run that goes on from saved sums ends with those of one that was never interrupted.

    Args:
        shape: of the arrays of one text.
        sums: saved before, `(6, *shape)`.
    """

    def __init__(self, shape: tuple[int, ...], sums: Floats | None = None) -> None:
        self.sums: Floats = np.zeros((6, *shape)) if sums is None else sums

    def add(self, total: Floats, count: Floats) -> None:
        """Add one text.

        Args:
            total: sums `x` over its queries.
            count: numbers `c` of these queries; where it is 0, the text adds nothing.
        """
        count = np.broadcast_to(count, total.shape)
        seen = (count > 0).astype(np.float64)
        self.sums += np.stack([seen, total, count, total * total, total * count, count * count])

    def merge(self, other: RatioSums) -> None:
        """Add the sums over other texts."""
        self.sums += other.sums

    @property
    def counts(self) -> Floats:
        """Number of queries behind each mean."""
        counts: Floats = self.sums[2]
        return counts

    def means(self) -> Means:
        """Ratios with their intervals, by Student's t with `n - 1` degrees of freedom."""
        from scipy.special import stdtrit  # slow to import

        texts, x, c, xx, xc, cc = self.sums
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(c > 0, x / c, np.nan)
            squares = np.maximum(xx - 2 * ratio * xc + ratio * ratio * cc, 0.0)
            variance = np.where(texts > 1, texts / (texts - 1) * squares / (c * c), np.nan)
        half = stdtrit(np.maximum(texts - 1, 1), 0.975) * np.sqrt(variance)
        return Means(ratio, ratio - half, ratio + half)
