"""Read the rows of a table, one function for each format; columns have no meaning here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regard.data.lines import LINE_FEEDS, opened, read_lines
from regard.data.options import ReadOptions
from regard.errors import DataError

__all__ = ["Cells", "Record", "delimited", "format_of", "records"]

Cells = tuple[int, list[str]]
Record = tuple[int, dict[str, Any]]

_ENDINGS = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "tsv",
    "": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def format_of(path: str, options: ReadOptions) -> str:
    """The format of a file: `options.format`, or by its ending without `.gz`."""
    if options.format is not None:
        return options.format
    ending = Path(path.removesuffix(".gz")).suffix.lower()
    if ending not in _ENDINGS and options.separator is None:
        raise DataError(
            f"unknown kind of file {ending!r}",
            path=path,
            remedy="known are .tsv, .csv, .jsonl and .parquet; or say format='tsv' (--format tsv)",
        )
    return _ENDINGS.get(ending, "tsv")


def delimited(path: str, kind: str, options: ReadOptions) -> Iterator[Cells]:
    """Yield `(line, cells)` of a TSV or CSV file; blank lines have no cells."""
    return _csv(path, options) if kind == "csv" else _split(path, options)


def records(path: str, kind: str, options: ReadOptions) -> Iterator[Record]:
    """Yield `(line, {name: value})` of a JSONL or Parquet file; blank lines are empty."""
    return _parquet(path) if kind == "parquet" else _jsonl(path, options)


def _split(path: str, options: ReadOptions) -> Iterator[Cells]:
    """Split lines at the separator; a quote is a plain character."""
    separator = options.separator or "\t"
    most = 1 if separator == " " else -1
    for number, line in read_lines(path, encoding=options.encoding):
        yield number, line.split(separator, most) if line else []


def _csv(path: str, options: ReadOptions) -> Iterator[Cells]:
    """Read CSV as in RFC 4180: a quoted cell may hold separators, doubled quotes and line ends."""
    csv.field_size_limit(2**31 - 1)  # the default refuses documents beyond 131,072 characters
    lines = (line + "\n" for _, line in read_lines(path, encoding=options.encoding))
    rows = csv.reader(lines, delimiter=options.separator or ",", strict=True)
    start = 1
    try:
        for cells in rows:
            yield start, cells
            start = rows.line_num + 1
    except csv.Error as error:
        if "new-line character" in str(error):
            problem = "not CSV: a carriage return inside a cell without quotes"
            raise DataError(problem, path=path, line=start, remedy=LINE_FEEDS) from error
        raise DataError(
            f"not CSV: {error}",
            path=path,
            line=start,
            remedy="is a quote left open? If quotes are plain characters here, say format='tsv' (--format tsv)",
        ) from error


def _jsonl(path: str, options: ReadOptions) -> Iterator[Record]:
    """Read one JSON object per line."""
    for number, line in read_lines(path, encoding=options.encoding):
        if not line.strip():
            yield number, {}
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON: {error}"
            remedy = 'expected one object per line, as in {"text": "..."}'
            if "\r" in line:
                problem, remedy = f"a carriage return inside the line, {problem}", LINE_FEEDS
            raise DataError(problem, path=path, line=number, remedy=remedy) from error
        if not isinstance(record, dict):
            raise DataError(
                f"a JSON {type(record).__name__}, expected an object",
                path=path,
                line=number,
                remedy='write one object per line, as in {"text": "..."}',
            )
        yield number, record


def _parquet(path: str) -> Iterator[Record]:
    """Read the rows of a Parquet file, counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(path) as stream:
        try:
            number = 0
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=4096):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"not a Parquet file: {error}", path=path) from error
