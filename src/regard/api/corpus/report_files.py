"""Files of reports on heads: a table, JSON or a page, by the ending of the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regard.data.write import ENDINGS, table_writer
from regard.errors import InputError
from regard.files import atomic_write
from regard.viewing.data.grid import HeadGrid

__all__ = ["check_ending", "json_number", "save_report"]


def save_report(
    path: Path,
    rows: Callable[[], Sequence[Mapping[str, Any]]],
    to_json: Callable[[], str],
    grid: Callable[[], HeadGrid],
) -> Path:
    """Write a report.

    Args:
        path: its ending says how.
        rows: makes a row for each head.
        to_json: makes everything as JSON.
        grid: makes what the page shows.

    Raises:
        InputError: another ending.
    """
    ending = check_ending(path)
    if ending in ENDINGS:
        with table_writer(path) as write:
            for row in rows():
                write(row)
        return path
    if ending == ".json":
        content = to_json()
    else:
        from regard.viewing.page.grid import grid_html

        content = grid_html(grid())
    with atomic_write(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8")
    return path


def check_ending(path: Path) -> str:
    """The ending of a file that a report can be written to.

    Raises:
        InputError: another ending.
    """
    ending = path.suffix.lower()
    if ending not in (".json", ".html", *ENDINGS):
        raise InputError(
            f"{path}: unknown ending {ending!r}; expected .html, .json or one of {', '.join(ENDINGS)}"
        )
    return ending


def json_number(x: float) -> float | None:
    """A number as JSON knows it: NaN is none."""
    return None if x != x else x
