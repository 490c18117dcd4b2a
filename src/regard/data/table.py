"""Read tables: TSV, CSV, JSONL, Parquet, and lines like `label the text`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from regard.data.collect import Row, collect
from regard.data.columns import Labelled, Pairs, choose_cells, choose_fields
from regard.data.corpus import Corpus, Text
from regard.data.datasets import Files, resolve_files
from regard.data.formats import Cells, Record, delimited, format_of, records
from regard.data.hub import PREFIX, hub_records
from regard.data.lines import LINE_FEEDS
from regard.data.options import ReadOptions
from regard.errors import DataError

__all__ = ["read_table"]

_HEAD = 1000
"""Rows inspected to tell the column of labels from the column of texts."""


def read_table(
    paths: Files, columns: Labelled | Pairs | None = None, *, options: ReadOptions | None = None
) -> Corpus:
    """Read one or several tables.

    The file's ending gives the format (`.tsv`, `.txt`, `.csv`, `.jsonl`, `.parquet`; all but the last also
    with `.gz`), or `options.format`. In TSV a quote is a plain character; CSV follows RFC 4180::

        read_table("reviews.tsv")
        read_table("train.txt", options=ReadOptions(separator=" ", encoding="latin-1"))
        read_table("papers.jsonl", Pairs(source="abstract", target="summary"))
        read_table("films.csv", Labelled(text="plot", label="genres", separator="|"))

    Args:
        paths: one file or several.
        columns: `Labelled()` (the default) or `Pairs()`, with names or numbers of columns that do not
            have usual names.
        options: encoding, longest line and more.

    Raises:
        DataError: a column is missing, a row has too few or too many cells, a file is empty or
            unreadable.
    """
    columns = columns or Labelled()
    options = options or ReadOptions()
    files = resolve_files(paths)
    notes: list[str] = []

    def rows() -> Iterator[Row]:
        for file, path in enumerate(files):
            hub = path.startswith(PREFIX)
            kind = "hub" if hub else format_of(path, options)
            if kind in ("tsv", "csv"):
                cells = delimited(path, kind, options)
                yield from _rows_of_cells(cells, columns, file=file, path=path, notes=notes)
            else:
                found = hub_records(path) if hub else records(path, kind, options)
                yield from _rows_of_records(found, columns, file=file, path=path)

    return collect(rows(), files, options, notes=notes)


def _rows_of_cells(
    found: Iterator[Cells], columns: Labelled | Pairs, *, file: int, path: str, notes: list[str]
) -> Iterator[Row]:
    """Turn cells into rows: find the columns, drop the header, require equal numbers of cells."""
    head = list(islice(found, _HEAD))
    filled = [cells for _, cells in head if cells]
    if not filled:
        raise DataError("an empty file", path=path)
    layout = choose_cells(columns, filled, path)
    text, other = layout.keys
    if layout.guessed:
        first, second = columns.roles
        notes.append(
            f"{path}: column {text + 1} taken for the {first}, {other + 1} for the {second}"
        )
    header = layout.header
    for line, cells in chain(head, found):
        if not cells:
            yield Row("", None, None, file, line)
        elif len(cells) != len(filled[0]):
            raise _uneven(cells, len(filled[0]), path, line)
        elif header:
            header = False
        else:
            yield _row(cells[text], cells[other], columns, file, line, path)


def _uneven(cells: list[str], expected: int, path: str, line: int) -> DataError:
    """The error about a row with too few or too many cells."""
    problem = (
        f"{len(cells)} column{'s' * (len(cells) > 1)}, expected {expected} as in the first line"
    )
    remedy = "is the line cut short, or a separator missing?"
    if any("\r" in cell for cell in cells):
        problem, remedy = f"a carriage return inside the line, and {problem}", LINE_FEEDS
    elif len(cells) > expected:
        remedy = "is there a separator inside the text?"
    return DataError(problem, path=path, line=line, remedy=remedy)


def _rows_of_records(
    found: Iterator[Record], columns: Labelled | Pairs, *, file: int, path: str
) -> Iterator[Row]:
    """Turn records with named fields into rows."""
    chosen: tuple[str, str] | None = None
    line = 0
    for line, record in found:
        if not record:
            yield Row("", None, None, file, line)
            continue
        chosen = chosen or choose_fields(columns, list(record), path)
        for name in chosen:
            if name not in record:
                there = ", ".join(map(repr, record))
                raise DataError(f"no field {name!r}; there are {there}", path=path, line=line)
        yield _row(record[chosen[0]], record[chosen[1]], columns, file, line, path)
    if not line:
        raise DataError("an empty file", path=path)


def _row(text: Any, other: Any, columns: Labelled | Pairs, file: int, line: int, path: str) -> Row:
    """Make a row from the two values of a line."""
    try:
        source = _text(text)
        if isinstance(columns, Pairs):
            target = _text(other)
            targets = (target,) if isinstance(target, str) else target
            return Row(source, targets, None, file, line)
        labels = _labels(other, columns.separator)
        return Row(source, None, labels or (), file, line, unlabelled=labels is None)
    except TypeError as error:
        raise DataError(str(error), path=path, line=line) from error


def _text(value: Any) -> Text:
    """A text or a tuple of sentences; a missing value is an empty text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise TypeError(f"{_shown(value)} is neither a text nor a list of texts")


def _labels(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """The labels in a cell or field; `None` if it is empty."""
    if isinstance(value, str) and separator is not None:
        return tuple(part.strip() for part in value.split(separator) if part.strip())
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        value = _json_list(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_label(part) for part in value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return (_label(value),)


def _json_list(text: str) -> Any:
    """The list in a cell like `["a", "b"]`; any other cell unchanged."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _label(value: Any) -> str:
    """The name of a label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise TypeError(f"{_shown(value)} is not the name of a label")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
