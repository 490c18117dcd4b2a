"""Plain-text tables of numbers, columns aligned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["format_number", "format_vector", "number_table"]


def number_table(
    matrix: Iterable[Iterable[float]],
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    title: str = "",
) -> str:
    """A matrix of numbers with a name for each row, indented by two spaces.

    Args:
        matrix: rows of numbers.
        rows: their names, written to the left.
        columns: names of the columns, written above; no line of names unless given.
        title: a line of its own above the table, if any.

    Returns:
        Lines that each end in a newline.

    >>> print(number_table([[1, 0.5], [10, 2]], ["a", "b"], ["x", "y"]), end="")
          x       y
      a   1  0.5000
      b  10       2
    """
    cells = [[format_number(x) for x in row] for row in matrix]
    header = [list(columns)] if columns else []
    widths = [max(map(len, column)) for column in zip(*header, *cells, strict=True)]
    side = max(map(len, rows))
    lines = [f"  {title}"] if title else []
    names = ([""] if columns else []) + list(rows)
    for name, line in zip(names, header + cells, strict=True):
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        lines.append(f"  {name.ljust(side)}  {numbers}")
    return "\n".join(lines) + "\n"


def format_vector(vector: Iterable[float]) -> str:
    """Numbers in brackets.

    >>> format_vector([1, 0.25])
    '[1, 0.2500]'
    """
    return "[" + ", ".join(format_number(x) for x in vector) + "]"


def format_number(x: float) -> str:
    """A whole number without decimals, another with four.

    >>> format_number(2.0), format_number(1 / 3)
    ('2', '0.3333')
    """
    return f"{x:.0f}" if float(x).is_integer() else f"{x:.4f}"
