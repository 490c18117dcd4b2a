"""Read rows that are in memory: data frames, data sets of the Hub, lists of tuples or dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from os import PathLike
from typing import Any, Protocol, TypeAlias

from regard.data.collect import Row, collect
from regard.data.columns import Labelled, Pairs, Texts
from regard.data.corpus import Corpus, Example
from regard.data.hub import dataset_records
from regard.data.options import ReadOptions
from regard.data.sniff import TableKind
from regard.data.table import TableRows, rows_of_cells, rows_of_records, rows_of_table
from regard.data.values import LabelSpelling
from regard.errors import DataError, InputError

__all__ = ["ArrowStream", "Rows", "holds_rows", "read_rows"]


class ArrowStream(Protocol):
    """A table with the Arrow C stream interface: of pandas, polars, pyarrow, DuckDB, ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the table as a capsule."""


Rows: TypeAlias = (
    ArrowStream
    | Mapping[str, Sequence[Any]]
    | Iterable[Mapping[str, Any]]
    | Iterable[Sequence[Any]]
)
"""A data frame, a dictionary of columns, or rows as dictionaries or tuples."""


def holds_rows(data: object) -> bool:
    """Whether `data` is rows in memory, and not names of files or a sequence of `Example`."""
    if isinstance(data, str | PathLike | Corpus):
        return False
    if isinstance(data, Sequence) and not hasattr(data, "__arrow_c_stream__"):
        return len(data) > 0 and not isinstance(data[0], str | PathLike | Example)
    return True


def read_rows(
    data: Rows,
    columns: Labelled | Pairs | Texts | None = None,
    *,
    options: ReadOptions | None = None,
) -> Corpus:
    """Read rows in memory as `read_table` reads those of a file.

    Columns are found by their names; those of tuples by number or by what they hold, and tuples that do not
    hold text alone are taken in the order text and label, or source and target::

        read_rows(frame, Labelled(text="plot", label="genre"))
        read_rows([("good value", 1), ("cold soup", 0)])

    Args:
        data: a frame of pandas or polars, a pyarrow table, a `datasets.Dataset`, a dictionary of columns,
            or rows as dictionaries or tuples.
        columns: `Labelled()` (the default), `Pairs()` or `Texts()`.
        options: longest text and more.

    Raises:
        DataError: a column is missing, or a row cannot be used; names the row, counted from 1.
        InputError: data of another kind.
    """
    columns, options = columns or Labelled(), options or ReadOptions()
    name, notes = type(data).__name__, list[str]()

    def rows() -> Iterator[Row]:
        table = _table(enumerate(_items(data), 1), columns, name)
        if table.note:
            notes.append(f"{name}: {table.note}")
        yield from rows_of_table(table, columns, LabelSpelling(), 0, name)

    return collect(rows(), [name], options, notes=notes)


def _table(
    found: Iterator[tuple[int, Any]], columns: Labelled | Pairs | Texts, name: str
) -> TableRows:
    """Find the columns of rows, whose kind the first row tells."""
    first = next(found, None)
    if first is None:
        raise DataError("no rows", path=name)
    found = chain([first], found)
    if isinstance(first[1], Mapping):
        records = ((line, _record(item, name, line)) for line, item in found)
        return rows_of_records(records, columns, name)
    tuples = ((line, _cells(item, name, line)) for line, item in found)
    if all(isinstance(cell, str) for cell in _cells(first[1], name, 1)):
        texts = ((line, ["" if c is None else str(c) for c in cells]) for line, cells in tuples)
        return rows_of_cells(texts, columns, name, TableKind("csv", ","))
    width = len(first[1])
    numbered = ((line, _by_number(cells, width, name, line)) for line, cells in tuples)
    return rows_of_records(numbered, _numbered(columns), name)


def _is_frame(data: object) -> bool:
    lazy = hasattr(data, "collect_schema")  # of polars
    return lazy or hasattr(data, "__arrow_c_stream__") or hasattr(data, "column_names")


def _items(data: Any) -> Iterator[Any]:
    """Rows of any kind of data, one by one."""
    if isinstance(data, Mapping):
        yield from _rows_of_columns(data)
    elif hasattr(data, "column_names") and hasattr(data, "features"):  # of the `datasets` library
        yield from dataset_records(data)
    elif hasattr(data, "collect_schema") and hasattr(data, "collect"):  # of polars, lazy
        yield from _items(data.collect())
    elif hasattr(data, "__arrow_c_stream__"):
        import pyarrow as pa

        for batch in pa.RecordBatchReader.from_stream(data):
            yield from batch.to_pylist()
    elif isinstance(data, Iterable):
        yield from data
    else:
        raise InputError(
            f"data is a {type(data).__name__}; expected names of files, a data frame, or rows as tuples or "
            "dictionaries"
        )


def _rows_of_columns(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of a dictionary of columns."""
    if any(_is_frame(part) for part in data.values()):
        raise InputError(
            f"data is a dictionary of the parts {', '.join(map(repr, data))}; give one of them, such as "
            f"data[{next(iter(data))!r}]"
        )
    lengths = {name: len(column) for name, column in data.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of several lengths: {lengths}; expected as many rows in each")
    for values in zip(*data.values(), strict=True):
        yield dict(zip(data, values, strict=True))


def _record(item: Any, name: str, line: int) -> dict[str, Any]:
    """A row as named values."""
    if not isinstance(item, Mapping):
        raise DataError(f"a {type(item).__name__}, expected a dictionary", path=name, line=line)
    return {str(field): _plain(value) for field, value in item.items()}


def _cells(item: Any, name: str, line: int) -> list[Any]:
    """A row as a list of values."""
    if isinstance(item, Mapping | str | Example) or not isinstance(item, Iterable):
        kind = type(item).__name__
        problem = f"a {kind}, expected a tuple" if line > 1 else f"rows of the type {kind}"
        raise DataError(
            problem, path=name, line=line, remedy="give tuples, or dictionaries, and nothing else"
        )
    return [_plain(value) for value in item]


def _plain(value: Any) -> Any:
    """A value of NumPy as Python's; a NaN, which frames write for a missing value, as `None`."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, tuple):
        value = list(value)
    return None if isinstance(value, float) and value != value else value


def _by_number(cells: Sequence[Any], width: int, name: str, line: int) -> dict[str, Any]:
    """Cells as a record whose fields are numbered from 1."""
    if len(cells) != width:
        problem = f"{len(cells)} values, expected {width} as in the first row"
        raise DataError(problem, path=name, line=line)
    return {str(number): cell for number, cell in enumerate(cells, 1)}


def _numbered(columns: Labelled | Pairs | Texts) -> Labelled | Pairs | Texts:
    """Columns by their number as a name; by position where the user says none."""
    chosen = [
        str(number) if column is None or not isinstance(column, str | int) else str(column)
        for number, column in enumerate(columns.roles.values(), 1)
    ]
    if isinstance(columns, Texts):
        return columns
    if isinstance(columns, Pairs):
        return Pairs(*chosen)
    return replace(columns, text=chosen[0], label=chosen[1])
