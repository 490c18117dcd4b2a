"""Two models, and two seeds of one as a floor, over a corpus: distances by head with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regard.evaluation.heads.divergence import PairSums
from regard.evaluation.heads.sums import RatioSums
from regard.evaluation.metrics.intervals import Interval

__all__ = ["LayerSums", "News", "interval_of", "news_of"]

News: TypeAlias = Literal["news", "noise", "closer"]
"""Whether two models differ more than two seeds of one do, no more that can be told, or less."""


class LayerSums:
    """Sums of one layer of two models over texts.

    Args:
        heads: heads of the first model.
        others: heads of the second one.
        floor: heads of another seed of the first model; `None` without one.
        arrays: of a state saved before (`arrays`).
    """

    def __init__(
        self,
        heads: int,
        others: int,
        floor: int | None,
        arrays: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        kept = arrays or {}
        shapes: dict[str, tuple[int, ...]] = {
            "distance": (heads, others),
            "agreement": (heads, others),
            "layer": (1,),
        }
        if floor is not None:
            shapes |= {
                "floor": (heads, floor),
                "floor_layer": (1,),
                "difference": (min(heads, others, floor),),
                "difference_layer": (1,),
            }
        self._sums = {name: RatioSums(shape, kept.get(name)) for name, shape in shapes.items()}

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The sums, to be saved."""
        return {name: sums.sums for name, sums in self._sums.items()}

    def add(self, pair: PairSums, floor: PairSums | None) -> None:
        """Add one text: sums of the two models, and of the two seeds over the same queries."""
        count = np.array(float(pair.count))
        self._sums["distance"].add(pair.distance, count)
        self._sums["agreement"].add(pair.agreement, count)
        self._sums["layer"].add(_mean_of_heads(pair), count)
        if floor is not None:
            self._sums["floor"].add(floor.distance, count)
            self._sums["floor_layer"].add(_mean_of_heads(floor), count)
            same, floor_same = np.diag(pair.distance), np.diag(floor.distance)
            size = min(len(same), len(floor_same))
            self._sums["difference"].add(same[:size] - floor_same[:size], count)
            self._sums["difference_layer"].add(_mean_of_heads(pair) - _mean_of_heads(floor), count)

    def merge(self, other: LayerSums) -> None:
        """Add the sums over other texts."""
        for name, sums in other._sums.items():
            self._sums[name].merge(sums)

    def nearest(self, head: int) -> tuple[int, float]:
        """The other model's head of this layer that is nearest on all texts, from 0, and its distance."""
        means = self._sums["distance"].means().mean[head]
        best = int(np.argmin(means))
        return best, float(means[best])

    def same(self, head: int, name: str) -> Interval | None:
        """Figure of the heads of one number; `None` if the other model has fewer, or nothing was read."""
        sums = self._sums.get(name)
        if sums is None:
            return None
        paired = len(sums.sums.shape) == 3
        if head >= sums.sums.shape[-1]:
            return None
        return interval_of(sums, (head, head) if paired else (head,))

    def floors(self) -> list[float]:
        """Distance of the two seeds at each head; empty without a floor."""
        if "floor" not in self._sums:
            return []
        return [float(x) for x in np.diag(self._sums["floor"].means().mean)]

    def whole(self, name: str) -> Interval | None:
        """Figure of the layer: the mean over heads of one number."""
        sums = self._sums.get(name)
        return None if sums is None else interval_of(sums, (0,))


def _mean_of_heads(pair: PairSums) -> NDArray[np.float64]:
    """Mean distance of the heads of one number."""
    return np.array([np.diag(pair.distance).mean()])


def interval_of(sums: RatioSums, index: tuple[int, ...]) -> Interval | None:
    """One mean with its interval; `None` if nothing was read."""
    means = sums.means()
    if np.isnan(means.mean[index]):
        return None
    return Interval(*(float(part[index]) for part in means))


def news_of(
    distance: Interval, difference: Interval | None, floors: Sequence[float]
) -> News | None:
    """Say whether two models differ more at a head than two seeds of one model do.

    Texts are one source of chance, and the interval knows it; the seed is another, of which a single floor is
    a single draw. How far such draws scatter is read from the other heads of the layer, whose order means
    nothing. So `"news"` takes both: an interval of the difference above 0, and a distance above the floor of
    every head of the layer; `"closer"` the opposite. Of two seeds, about one head in `heads + 1` is called
    news by chance.

    Args:
        distance: of the two models at this head.
        difference: the distance minus the floor, over the same queries; `None` without a floor.
        floors: distance of the two seeds at each head of the layer.

    Returns:
        `None` without a floor or an interval.
    """
    if difference is None or np.isnan(difference.low):
        return None
    if difference.low > 0 and distance.mean > max(floors):
        return "news"
    return "closer" if difference.high < 0 and distance.mean < min(floors) else "noise"
