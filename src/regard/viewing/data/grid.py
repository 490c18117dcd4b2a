"""A grid of the heads of a model as plain data: a sign for each, its figures, and examples to open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from regard.errors import InputError
from regard.viewing.data.record import Record

__all__ = ["GridCell", "GridFact", "HeadGrid", "LegendEntry"]


@dataclass(frozen=True)
class GridFact:
    """A figure of a head.

    Attributes:
        name: of the figure.
        value: as text.
        interval: its interval, as text; empty if it has none.
        beside: what to compare it with, as text; empty for nothing.
        share: length of its bar, 0 to 1; `None` for a figure that is no share.
    """

    name: str
    value: str
    interval: str = ""
    beside: str = ""
    share: float | None = None


@dataclass(frozen=True)
class GridCell:
    """A head of the grid.

    Attributes:
        site: of its attention.
        layer: counted from 1.
        head: counted from 1.
        label: what it is, in a word of the legend.
        sign: one or two characters in its cell.
        level: shade of its cell, 0 to 1.
        sure: whether its interval speaks for the label, too.
        summary: the figure that the label rests on.
        facts: all figures.
        example: index of the example that shows it; `None` for none.
    """

    site: str
    layer: int
    head: int
    label: str
    sign: str
    level: float
    sure: bool
    summary: str
    facts: tuple[GridFact, ...]
    example: int | None = None

    @property
    def name(self) -> str:
        """The head in words."""
        return f"{self.site} layer {self.layer}, head {self.head}"


@dataclass(frozen=True)
class LegendEntry:
    """A label of the grid.

    Attributes:
        label: as cells have it.
        sign: as cells show it.
        meaning: a sentence.
    """

    label: str
    sign: str
    meaning: str


@dataclass(frozen=True)
class HeadGrid:
    """The heads of a model, in the order of its layers.

    Attributes:
        title: heading.
        facts: what was read, a sentence each.
        legend: the labels that occur.
        cells: the heads, site by site, layer by layer.
        columns: names of the figures that a table in the terminal has room for.
        beside: heading of the column of what figures are compared with.
        examples: by example the records to show side by side.
        captions: of the records of an example, in their order; one for each.
    """

    title: str
    facts: tuple[str, ...]
    legend: tuple[LegendEntry, ...]
    cells: tuple[GridCell, ...]
    columns: tuple[str, ...]
    beside: str = ""
    examples: tuple[tuple[Record, ...], ...] = ()
    captions: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if not self.cells:
            raise InputError("a grid without heads; give at least one cell")

    def sites(self) -> Iterator[tuple[str, list[list[GridCell]]]]:
        """The cells by site and layer."""
        for site, cells in groupby(self.cells, key=lambda cell: cell.site):
            yield site, [list(row) for _, row in groupby(cells, key=lambda cell: cell.layer)]
