"""How differently one head, or the heads of one layer, attend in two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regard.api.corpus.report_files import json_number
from regard.evaluation.heads.comparison import News
from regard.evaluation.metrics.intervals import Interval

__all__ = ["HeadComparison"]


@dataclass(frozen=True)
class HeadComparison:
    """How differently the heads of one number attend in two models; or all heads of a layer, on average.

    Attributes:
        site: `"encoder"`, `"decoder"`, `"cross"` or `"pooling"`.
        layer: counted from 1.
        head: counted from 1; `None` for the mean over the heads of the layer.
        distance: mean Jensen-Shannon distance (base 2, 0 to 1) over queries; `None` where the second model has
            no such head.
        agreement: share of queries whose strongest key is the same; `None` for a layer.
        nearest: the second model's head of this layer that attends most alike, and its distance.
        floor: the distance to another seed of the first model, if one was given.
        difference: the distance minus the floor, over the same queries.
        news: what the difference says; `None` without a floor or an interval.
    """

    site: str
    layer: int
    head: int | None
    distance: Interval | None
    agreement: Interval | None = None
    nearest: tuple[int, float] | None = None
    floor: Interval | None = None
    difference: Interval | None = None
    news: News | None = None

    def row(self) -> dict[str, Any]:
        """One row of a table."""
        row: dict[str, Any] = {"site": self.site, "layer": self.layer, "head": self.head}
        for name in ("distance", "agreement", "floor", "difference"):
            value: Interval | None = getattr(self, name)
            row[name] = None if value is None else value.mean
            row[f"{name}_low"] = None if value is None else json_number(value.low)
            row[f"{name}_high"] = None if value is None else json_number(value.high)
        row["nearest_head"], row["nearest_distance"] = self.nearest or (None, None)
        row["news"] = self.news
        return row
