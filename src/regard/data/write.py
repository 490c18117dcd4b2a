"""Write a table row by row: CSV, TSV, JSONL or Parquet by the ending of its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from regard.data.streams import FilePath
from regard.errors import InputError
from regard.files import atomic_write

__all__ = ["ENDINGS", "free_name", "table_writer"]

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

ROWS_PER_GROUP = 2**16
"""Rows of a Parquet file that are held in memory."""

Write = Callable[[Mapping[str, Any]], None]


@contextmanager
def table_writer(path: FilePath) -> Iterator[Write]:
    """A function that adds one row to a table, which is there whole at the end or not at all.

    CSV and TSV begin with the names of the first row's columns; a list or an object in a cell is JSON.

    Args:
        path: of the table; its ending is the format.

    Raises:
        InputError: another ending, or a row with other columns than the first one.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{path}: unknown kind of table {ending!r}; expected one of {', '.join(ENDINGS)}"
        )
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    with atomic_write(path) as unfinished:
        if ending == ".parquet":
            with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as groups:
                table = _RowGroups(Path(groups))
                yield table.add
                table.write(unfinished)
            return
        with open(unfinished, "w", encoding="utf-8", newline="") as file:
            if ending == ".jsonl":
                yield lambda row: print(json.dumps(row, ensure_ascii=False), file=file)
            else:
                yield _cells(file, "," if ending == ".csv" else "\t")


def free_name(name: str, row: Mapping[str, Any]) -> str:
    """A name for a new column: `predicted_label` where a column `label` is there already."""
    return name if name not in row else free_name(f"predicted_{name}", row)


def _cells(file: TextIO, separator: str) -> Write:
    """A function that writes rows of cells, the names of the first before it."""
    writer = csv.writer(file, delimiter=separator, lineterminator="\n")
    names: list[str] = []

    def write(row: Mapping[str, Any]) -> None:
        if not names:
            names.extend(row)
            writer.writerow(names)
        if strange := row.keys() - {*names}:
            raise InputError(
                f"a row has the column {min(strange)!r}, the first row has {', '.join(names)}; "
                "write .jsonl, or one table for each file"
            )
        writer.writerow([_cell(row.get(name)) for name in names])

    return write


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


class _RowGroups:
    """Rows of a Parquet file in groups, of which only the last is in memory.

    A column's type is known once all its values are: the groups wait on disk, each with the types of its own
    values, until those that all of them share are found.

    Args:
        folder: for the groups.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._schemas: list[Any] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(dict(row))
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def write(self, path: Path) -> None:
        """Write all rows.

        Raises:
            InputError: a column has values of several types.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._rows or not self._schemas:
            self._flush()
        try:
            schema = pa.unify_schemas(self._schemas, promote_options="permissive")
            with pq.ParquetWriter(path, schema) as file:
                for number in range(len(self._schemas)):
                    file.write_table(_as_schema(pq.read_table(self._place(number)), schema))
        except pa.ArrowException as error:
            raise _several_types(error) from error

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(dict.fromkeys(name for row in self._rows for name in row))
        try:
            table = pa.table({name: [row.get(name) for row in self._rows] for name in names})
        except pa.ArrowException as error:
            raise _several_types(error) from error
        pq.write_table(table, self._place(len(self._schemas)))
        self._schemas.append(table.schema)
        self._rows = []

    def _place(self, number: int) -> Path:
        return self._folder / f"{number}.parquet"


def _as_schema(table: Any, schema: Any) -> Any:
    """A table with all columns of a schema, in its order; those it lacks are empty."""
    import pyarrow as pa

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _several_types(error: Exception) -> InputError:
    return InputError(f"the rows are of several types ({error}); write .jsonl")
