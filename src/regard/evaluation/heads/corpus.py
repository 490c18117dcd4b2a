"""Statistics of the heads of one site over a corpus, text after text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from regard.evaluation.heads.links import DIRECTIONS, MAX_OFFSET, LinkSums
from regard.evaluation.heads.rules import Value
from regard.evaluation.heads.statistics import SHARES, STATISTICS, TextSums
from regard.evaluation.heads.sums import RatioSums

__all__ = ["SiteSums"]


class SiteSums:
    """Sums over the texts of a corpus, in memory that does not grow with it.

    Args:
        heads: number of heads, over all layers.
        arrays: of a state saved before (`arrays`).
        own: names of statistics of one's own.
    """

    def __init__(
        self,
        heads: int,
        arrays: Mapping[str, NDArray[np.float64]] | None = None,
        *,
        own: Sequence[str] = (),
    ) -> None:
        kept = arrays or {}
        self._names = tuple(own)
        self._own = RatioSums((len(own), heads), kept.get("own"))
        self._sums = RatioSums((len(STATISTICS), heads), kept.get("sums"))
        self._chance = kept.get("chance", np.zeros(len(STATISTICS)))
        self._links = RatioSums((2, heads), kept.get("links"))
        self._by_offset = kept.get("by_offset", np.zeros((2, 2 * MAX_OFFSET + 1)))

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The sums, to be saved."""
        return {
            "sums": self._sums.sums,
            "chance": self._chance,
            "links": self._links.sums,
            "by_offset": self._by_offset,
            **({"own": self._own.sums} if self._names else {}),
        }

    def add(self, text: TextSums, links: LinkSums | None = None) -> None:
        """Add one text, with its links where there are some."""
        self._sums.add(text.total, text.count[:, None])
        self._chance = self._chance + text.chance
        if text.own is not None:
            self._own.add(text.own, np.array(float(text.queries)))
        if links is not None:
            self._links.add(links.total, links.count[:, None])
            self._by_offset = self._by_offset + links.by_offset

    def merge(self, other: SiteSums) -> None:
        """Add the sums over other texts."""
        self._sums.merge(other._sums)
        self._chance = self._chance + other._chance
        self._own.merge(other._own)
        self._links.merge(other._links)
        self._by_offset = self._by_offset + other._by_offset

    def values(self) -> list[dict[str, Value]]:
        """Statistics of each head by name; those that no text says anything about are left out."""
        sums, links = self._sums, self._links
        chance = np.full((len(STATISTICS), 1), np.nan)
        shares = [STATISTICS.index(name) for name in SHARES]
        counts = sums.counts[shares, :1]
        chance[shares] = self._chance[shares, None] / np.maximum(counts, 1)
        position = self._by_offset.max(axis=1, keepdims=True) / np.maximum(links.counts[:, :1], 1)
        parts = (
            _by_head(STATISTICS, sums, chance),
            _by_head(DIRECTIONS, links, position),
            self._values_of_own(),
        )
        return [{**first, **second, **own} for first, second, own in zip(*parts, strict=True)]

    def _values_of_own(self) -> list[dict[str, Value]]:
        """Statistics of one's own, of any sign, for each head."""
        mean, low, high = self._own.means()
        return [
            {
                name: Value(float(mean[row, head]), float(low[row, head]), float(high[row, head]))
                for row, name in enumerate(self._names)
                if self._own.counts[row, head] > 0
            }
            for head in range(mean.shape[1])
        ]


def _by_head(
    names: tuple[str, ...], sums: RatioSums, chance: NDArray[np.float64]
) -> list[dict[str, Value]]:
    """Values by name of each head."""
    means = sums.means()
    return [
        {
            name: _value(
                means.mean[row, head],
                means.low[row, head],
                means.high[row, head],
                chance[row, 0],
                top=np.inf if name in ("entropy", "distance") else 1.0,
            )
            for row, name in enumerate(names)
            if sums.counts[row, head] > 0
        }
        for head in range(means.mean.shape[1])
    ]


def _value(mean: float, low: float, high: float, chance: float, *, top: float) -> Value:
    """A value whose interval ends at 0 and at `top`, where the statistic does."""
    ends = float(np.maximum(low, 0.0)), float(np.minimum(high, top))
    return Value(float(mean), *ends, float(chance))
