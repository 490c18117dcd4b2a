"""Read rows that are in memory: data frames, data sets of the Hub, lists of tuples or dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from os import PathLike
from typing import Any, Protocol, TypeAlias, TypeVar

from regard.data.collect import Row, collect
from regard.data.columns import USUAL_NAMES, Column, Labelled, Pairs
from regard.data.corpus import Corpus, Example
from regard.data.formats import Record
from regard.data.hub import dataset_records
from regard.data.options import ReadOptions
from regard.data.table import rows_of_cells, rows_of_records
from regard.errors import DataError, InputError

__all__ = ["ArrowStream", "Rows", "holds_rows", "read_rows"]

C = TypeVar("C", Labelled, Pairs)


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
    """Whether `data` is rows in memory, and not names of files or `Example`s."""
    if isinstance(data, str | PathLike | Corpus):
        return False
    if isinstance(data, Sequence) and not hasattr(data, "__arrow_c_stream__"):
        return len(data) > 0 and not isinstance(data[0], str | PathLike | Example)
    return isinstance(data, Iterable) or _is_frame(data)


def read_rows(
    data: Rows, columns: Labelled | Pairs | None, *, options: ReadOptions | None = None
) -> Corpus:
    """Read rows in memory as `read_table` reads those of a file.

    Columns are found by their names; those of tuples by number or by what they hold, and tuples that do not
    hold text alone are taken in the order text and label, or source and target::

        read_rows(frame, Labelled(text="plot", label="genre"))
        read_rows([("good value", 1), ("cold soup", 0)], Labelled())

    Args:
        data: a frame of pandas or polars, a pyarrow table, a `datasets.Dataset`, a dictionary of columns,
            or rows as dictionaries or tuples.
        columns: `Labelled()`, `Pairs()`, or `None` if each row is a text alone.
        options: longest text and more.

    Raises:
        DataError: a column is missing, or a row cannot be used; names the row, counted from 1.
        InputError: data of another kind.
    """
    options, name, notes = options or ReadOptions(), type(data).__name__, list[str]()

    def rows() -> Iterator[Row]:
        found = iter(enumerate(_items(data), 1))
        first = next(found, None)
        if first is None:
            raise DataError("no rows", path=name)
        found = chain([first], found)
        if isinstance(first[1], Mapping):
            records = ((line, _record(item, name, line)) for line, item in found)
            if columns is None:
                yield from _texts(records, path=name)
            else:
                yield from rows_of_records(records, columns, file=0, path=name)
            return
        tuples = ((line, _cells(item, name, line)) for line, item in found)
        if columns is None:
            numbered = ((line, _by_number(cells)) for line, cells in tuples)
            yield from _texts(numbered, path=name)
        elif all(isinstance(cell, str) for cell in _cells(first[1], name, 1)):
            texts = ((line, ["" if c is None else str(c) for c in cells]) for line, cells in tuples)
            yield from rows_of_cells(texts, columns, file=0, path=name, notes=notes)
        else:
            numbered = ((line, _by_number(cells)) for line, cells in tuples)
            yield from rows_of_records(numbered, _numbered(columns), file=0, path=name)

    return collect(rows(), [name], options, notes=notes)


def _is_frame(data: object) -> bool:
    lazy = hasattr(data, "collect_schema")  # of polars
    return lazy or hasattr(data, "__arrow_c_stream__") or hasattr(data, "column_names")


def _items(data: Any) -> Iterator[Any]:
    """Rows of any kind of data, one by one."""
    if isinstance(data, Mapping):
        yield from _rows_of_columns(data)
    elif hasattr(data, "column_names") and hasattr(data, "features"):  # of the `datasets` library
        yield from (record for _, record in dataset_records(data))
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
    """A row as named values; those of a nested dictionary are `outer.inner`."""
    if not isinstance(item, Mapping):
        raise DataError(f"a {type(item).__name__}, expected a dictionary", path=name, line=line)
    record = {}
    for field, value in item.items():
        if isinstance(value, Mapping):
            record |= {f"{field}.{inner}": _plain(each) for inner, each in value.items()}
        else:
            record[str(field)] = _plain(value)
    return record


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


def _by_number(cells: Sequence[Any]) -> dict[str, Any]:
    return {str(number): cell for number, cell in enumerate(cells, 1)}


def _numbered(columns: C) -> C:
    """Columns by their number as a name; by position where the user says none."""
    roles: dict[str, Column | None] = columns.roles
    chosen = {
        role: str(number if column is None else column)
        for number, (role, column) in enumerate(roles.items(), 1)
    }
    return replace(columns, **chosen)


def _texts(records: Iterator[Record], *, path: str) -> Iterator[Row]:
    """Rows of which only the text is read."""
    chosen: str | None = None
    for line, record in records:
        if chosen is None:
            usual = [name for name in USUAL_NAMES["text"] if name in map(str.lower, record)]
            names = [name for name in record if name.lower() in usual[:1]]
            if len(record) == 1:
                names = list(record)
            if not names:
                there = ", ".join(map(repr, record))
                problem = f"which column is the text? There are {there}"
                raise DataError(problem, path=path, line=line, remedy="name it 'text'")
            chosen = names[0]
        text = record.get(chosen)
        if text is not None and not isinstance(text, str):
            raise DataError(f"{text!r} is no text", path=path, line=line)
        yield Row(text or "", None, None, 0, line)
