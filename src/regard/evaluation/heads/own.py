"""Statistics of one's own (`regard.statistics`) of the heads on one text, along with those of the library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from regard.attention.layout import AttentionLayout
from regard.attention.statistics import Statistic, Tile
from regard.errors import InputError

__all__ = ["OwnSums"]

Rows = tuple[slice, NDArray[np.floating]]


class OwnSums:
    """Sums over the queries of one text, taken from its tiles as they go by.

    Args:
        statistics: by name, each with one number for a query.
        queries: of the text.
        keys: of the text.

    Attributes:
        total: `(statistics, heads)`; `None` before the first tile.
        count: queries that were summed.
    """

    def __init__(self, statistics: Mapping[str, Statistic], queries: int, keys: int) -> None:
        self._statistics = statistics
        self._sizes = queries, keys
        self.total: NDArray[np.float64] | None = None
        self.count: int = 0

    def beside(self, tiles: Iterable[Rows]) -> Iterator[Rows]:
        """The tiles, summed as they are taken.

        Args:
            tiles: rows and their weights `(heads, rows, keys)`.

        Raises:
            InputError: a statistic without one finite number for each query.
        """
        for rows, weights in tiles:
            found = [self._of(name, rows, weights) for name in self._statistics]
            if found:
                total = np.stack(found)
                self.total = total if self.total is None else self.total + total
            self.count += weights.shape[1]
            yield rows, weights

    def _of(self, name: str, rows: slice, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sums of one statistic over some rows, `(heads,)`."""
        statistic, (queries, keys) = self._statistics[name], self._sizes
        layout, matrix = AttentionLayout.of_matrix(weights[None])
        layout = replace(layout, queries=queries)
        statistic.check(layout)
        tile = Tile(layout, rows, slice(0, keys), matrix)
        # Rows are whole, so there is nothing to merge.
        answer = statistic.finish(statistic.of_tile(tile))
        shape = (1, *weights.shape[:2])
        if statistic.per != "query" or getattr(answer, "shape", None) != shape:
            raise InputError(
                f"statistic {name} ({type(statistic).__name__}) has not one number for each query of a head; "
                "expected per = 'query' and an answer of shape (batch, heads, queries)"
            )
        if not np.isfinite(answer).all():
            raise InputError(
                f"statistic {name} ({type(statistic).__name__}) is NaN or infinite for some query; "
                "regard.check(statistic=...) says where that comes from"
            )
        total: NDArray[np.float64] = np.asarray(answer[0].sum(axis=-1, dtype=np.float64))
        return total
