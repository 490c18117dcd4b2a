"""Comparisons of two models as grids for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from regard.api.corpus.head_comparison import HeadComparison
from regard.evaluation.metrics.intervals import Interval
from regard.viewing import AttentionRecord
from regard.viewing.data.grid import GridCell, GridFact, HeadGrid, LegendEntry

__all__ = ["comparison_grid"]

_WITH_FLOOR = {
    "news": "the models differ more than two seeds of one do",
    "noise": "no more and no less than two seeds, as far as these texts tell",
    "closer": "the models differ less than two seeds of one do",
}
_BY_DISTANCE = {
    "near": (0.1, "distance below 0.1"),
    "apart": (0.3, "distance from 0.1 to 0.3"),
    "far": (math.inf, "distance of 0.3 or more"),
}
_NONE = "none"


def comparison_grid(
    names: tuple[str, str, str | None],
    facts: tuple[str, ...],
    heads: Sequence[HeadComparison],
    layers: Sequence[HeadComparison],
    examples: Sequence[tuple[AttentionRecord, ...]],
) -> HeadGrid:
    """The grid of a comparison: each cell shows a distance in hundredths.

    Args:
        names: of the first model, the second one and the floor.
        facts: what was compared, a sentence each.
        heads: results by site, layer and head.
        layers: results by site and layer.
        examples: for each example the record of each model.
    """
    first, second, _ = names
    of_layer = {(each.site, each.layer): each for each in layers}
    cells = tuple(_cell(each, of_layer[each.site, each.layer], bool(examples)) for each in heads)
    labels = {cell.label for cell in cells}
    meanings = {**_WITH_FLOOR, **{name: meaning for name, (_, meaning) in _BY_DISTANCE.items()}}
    meanings[_NONE] = f"{second} has no such head"
    columns = ("agreement", "nearest head", "floor", "difference", "layer")
    return HeadGrid(
        title=f"{first} and {second}",
        facts=(*facts, "Cells: distance in hundredths."),
        legend=tuple(
            LegendEntry(label, "", meaning)
            for label, meaning in meanings.items()
            if label in labels
        ),
        cells=cells,
        columns=columns,
        examples=tuple(examples),
        captions=(first, second),
    )


def _cell(head: HeadComparison, layer: HeadComparison, shown: bool) -> GridCell:
    """A head of the first model, beside the one of its number in the second."""
    number = head.head or 0
    example = 0 if shown else None
    if head.distance is None:
        return GridCell(
            head.site,
            head.layer,
            number,
            _NONE,
            "-",
            0.0,
            True,
            "",
            tuple(_facts(head, layer)),
            example,
        )
    mean = head.distance.mean
    near = next(name for name, (top, _) in _BY_DISTANCE.items() if mean < top)
    label: str = near if head.news is None else head.news
    return GridCell(
        head.site,
        head.layer,
        number,
        label,
        f"{100 * mean:.0f}",
        mean,
        True,
        f"distance {head.distance}",
        tuple(_facts(head, layer)),
        example,
    )


def _facts(head: HeadComparison, layer: HeadComparison) -> Iterator[GridFact]:
    """All figures of a head, and the distance of its layer."""
    figures = {
        "distance": head.distance,
        "agreement": head.agreement,
        "floor": head.floor,
        "difference": head.difference,
        "layer": layer.distance,
        "layer floor": layer.floor,
        "layer difference": layer.difference,
    }
    for name, value in figures.items():
        if value is not None:
            share = None if "difference" in name else value.mean
            yield GridFact(name, f"{value.mean:.2f}", _ends(value), share=share)
    if head.nearest is not None:
        other, distance = head.nearest
        yield GridFact("nearest head", f"{other}: {distance:.2f}", share=distance)


def _ends(value: Interval) -> str:
    return "" if math.isnan(value.low) else f"{value.low:.2f} to {value.high:.2f}"
