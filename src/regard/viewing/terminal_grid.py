"""The heads of a model in the terminal: a grid of signs, and a table of figures."""

from __future__ import annotations

from collections import Counter

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from regard.viewing.canvas import Canvas, fit
from regard.viewing.colors import Theme
from regard.viewing.data.grid import GridCell, HeadGrid
from regard.viewing.printable import printable

__all__ = ["show"]

_GAP = 2  # columns of a table are this far apart
_MOST_COLUMNS = 32  # heads of a row of the grid


def show(grid: HeadGrid, *, theme: Theme = "dark", console: Console | None = None) -> None:
    """Print a grid of heads with its legend, and a line of figures for each.

    Args:
        grid: the heads.
        theme: of the terminal.
        console: where to print; `NO_COLOR` and pipes are respected by `rich`.
    """
    canvas = Canvas.of(console or Console(), theme)
    canvas.prose(grid.title, "bold")
    for fact in grid.facts:
        canvas.prose(fact, "dim")
    canvas.line("")
    for site, layers in grid.sites():
        _signs(canvas, site, layers)
    _legend(canvas, grid)
    _table(canvas, grid)


def _signs(canvas: Canvas, site: str, layers: list[list[GridCell]]) -> None:
    """A line for each layer with the sign of each head."""
    width = max(cell_len(cell.sign) for row in layers for cell in row) + 1
    most = max(len(row) for row in layers)
    names = "".join(f"{head:>{width}} " for head in range(1, min(most, _MOST_COLUMNS) + 1))
    canvas.line(Text(f"{fit(printable(site), 9)}{'head':>5} {names}", style="dim"))
    for row in layers:
        for start in range(0, len(row), _MOST_COLUMNS):
            label = f"layer {row[0].layer}" if not start else ""
            cells = [
                Text.assemble(canvas.cell(cell.sign.rjust(width), cell.level), " ")
                if canvas.color
                else Text(f"{cell.sign:>{width}} ")
                for cell in row[start : start + _MOST_COLUMNS]
            ]
            canvas.line(f"{label:>14} ", *cells)
    canvas.line("")


def _legend(canvas: Canvas, grid: HeadGrid) -> None:
    """Each label with its sign, the number of its heads and its meaning."""
    counts = Counter(cell.label for cell in grid.cells)
    width = max(len(entry.label) for entry in grid.legend)
    for entry in grid.legend:
        count = counts[entry.label]
        canvas.prose(f"{entry.sign:>2} {entry.label:<{width}} {count:>4}  {entry.meaning}", "")
    canvas.line("")


def _table(canvas: Canvas, grid: HeadGrid) -> None:
    """A line for each head: label, the figure it rests on, and as many other figures as fit."""
    header = ["head", "kind", "rests on", *grid.columns]
    rows = []
    for cell in grid.cells:
        values = {fact.name: fact.value for fact in cell.facts}
        label = cell.label if cell.sure else f"{cell.label}?"
        name = f"{cell.site} {cell.layer}.{cell.head}"
        rows.append([name, label, cell.summary, *(values.get(c, "-") for c in grid.columns)])
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    shown = len(widths)
    while shown > 3 and sum(widths[:shown]) + _GAP * (shown - 1) > canvas.console.width:
        shown -= 1
    canvas.line(Text(_row(header[:shown], widths), style="dim"))
    for row in rows:
        canvas.line(_row(row[:shown], widths))
    if any(not cell.sure for cell in grid.cells):
        canvas.prose(
            "?: the interval holds the bound of a rule, so more texts may decide otherwise", "dim"
        )


def _row(values: list[str], widths: list[int]) -> str:
    """Values in columns, names on the left and numbers on the right."""
    parts = [
        fit(printable(value) if value else "", width, right=column > 2)
        for column, (value, width) in enumerate(zip(values, widths, strict=False))
    ]
    return (" " * _GAP).join(parts).rstrip()
