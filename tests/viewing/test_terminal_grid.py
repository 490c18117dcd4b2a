"""A grid of heads in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from regard.viewing.data.grid import GridCell, GridFact, HeadGrid, LegendEntry
from regard.viewing.terminal_grid import show


def cell(layer: int, head: int, label: str, sign: str, *, sure: bool = True) -> GridCell:
    facts = (GridFact("previous", "0.91"), GridFact("next", "0.03"))
    return GridCell("encoder", layer, head, label, sign, 0.9, sure, "previous 0.91", facts)


GRID = HeadGrid(
    "Heads of m",
    ("7 texts",),
    (LegendEntry("previous", "P", "looks back"), LegendEntry("mixed", "-", "no rule")),
    (
        cell(1, 1, "previous", "P"),
        cell(1, 2, "mixed", "-"),
        cell(2, 1, "previous", "P", sure=False),
    ),
    ("previous", "next", "links"),
)


def shown(width: int) -> list[str]:
    out = io.StringIO()
    show(GRID, console=Console(file=out, width=width, force_terminal=False))
    return out.getvalue().splitlines()


def test_signs_stand_under_their_heads() -> None:
    lines = shown(100)
    header = next(line for line in lines if line.startswith("encoder "))
    first = next(line for line in lines if "layer 1" in line)
    assert header.index("1") == first.index("P")
    assert header.index("2") == first.index("-")


def test_a_line_for_each_head_and_a_mark_of_doubt() -> None:
    lines = shown(100)
    rows = [
        line.split() for line in lines if line.startswith("encoder ") and "." in line.split()[1]
    ]
    assert rows == [
        ["encoder", "1.1", "previous", "previous", "0.91", "0.91", "0.03", "-"],
        ["encoder", "1.2", "mixed", "previous", "0.91", "0.91", "0.03", "-"],
        ["encoder", "2.1", "previous?", "previous", "0.91", "0.91", "0.03", "-"],
    ]
    assert any(line.startswith("?: ") for line in lines)
    assert any("P previous" in line and " 2 " in line for line in lines)


@pytest.mark.parametrize(
    ("width", "columns"), [(40, []), (50, ["previous"]), (80, list(GRID.columns))]
)
def test_columns_that_do_not_fit_are_left_out(width: int, columns: list[str]) -> None:
    header = next(line for line in shown(width) if line.startswith("head "))
    assert header.split()[4:] == columns
