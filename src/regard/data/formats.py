"""Read the rows of a table, one function for each format; columns have no meaning here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from regard.data.documents import document_records
from regard.data.hub import class_names, with_names
from regard.data.lines import LINE_FEEDS, decode_all, lines_of
from regard.data.options import ReadOptions
from regard.data.sniff import LABEL_PREFIX, TableKind, separator_line
from regard.data.streams import OpenFile
from regard.errors import DataError

__all__ = ["Cells", "Record", "delimited", "records"]

Cells = tuple[int, list[str]]
Record = tuple[int, dict[str, Any]]

_STAND_IN = "\x1f"
"""The unit separator: one sign in place of a separator of several, which `csv` does not take."""


def delimited(file: OpenFile, kind: TableKind, options: ReadOptions) -> Iterator[Cells]:
    """Yield `(line, cells)` of a TSV or CSV file; blank lines have no cells."""
    lines = lines_of(file, options.encoding)
    return _csv(lines, kind, file.name) if kind.content == "csv" else _split(lines, kind)


def records(file: OpenFile, kind: TableKind, options: ReadOptions) -> Iterator[Record]:
    """Yield `(line, {name: value})` of a file whose fields have names; blank lines are empty."""
    if kind.content in ("parquet", "arrow"):
        return _arrow(file, kind)
    if kind.content == "json":
        return _document(file, options)
    lines = lines_of(file, options.encoding)
    return _fasttext(lines) if kind.content == "fasttext" else _jsonl(lines, file.name)


def _split(lines: Iterator[tuple[int, str]], kind: TableKind) -> Iterator[Cells]:
    """Split lines at the separator; a quote is a plain character."""
    most = 1 if kind.separator == " " else -1
    for number, line in lines:
        if number == 1 and kind.names_separator:
            continue
        yield number, line.split(kind.separator, most) if line else []


def _csv(lines: Iterator[tuple[int, str]], kind: TableKind, path: str | None) -> Iterator[Cells]:
    """Read CSV as in RFC 4180: a quoted cell may hold separators, doubled quotes and line ends."""
    csv.field_size_limit(2**31 - 1)  # the default refuses documents beyond 131,072 characters
    separator, last = kind.separator, ""
    long = len(separator) > 1

    def texts() -> Iterator[str]:
        nonlocal last
        for _, last in lines:
            yield (last.replace(separator, _STAND_IN) if long else last) + "\n"

    rows = csv.reader(
        texts(),
        delimiter=_STAND_IN if long else separator,
        strict=True,
        escapechar=kind.escape,
        doublequote=kind.escape is None,
    )
    start = 1
    try:
        for cells in rows:
            if not (start == 1 and kind.names_separator and separator_line(last) is not None):
                yield start, [c.replace(_STAND_IN, separator) for c in cells] if long else cells
            start = rows.line_num + 1
    except csv.Error as error:
        problem, remedy = _csv_fault(str(error), last, kind)
        raise DataError(f"not CSV: {problem}", path=path, line=start, remedy=remedy) from error


def _csv_fault(error: str, line: str, kind: TableKind) -> tuple[str, str]:
    """What is wrong with a row of CSV, and what to try."""
    if "new-line character" in error:
        return "a carriage return inside a cell without quotes", LINE_FEEDS
    if '\\"' in line and kind.escape is None:
        return (
            'a backslash before a quote (\\"), as MySQL, Spark and Hive write it where CSV doubles '
            f"the quote; {error}",
            "say escape='\\\\' (--escape '\\')",
        )
    shown = "tab" if kind.separator == "\t" else kind.separator
    return error, (
        "is a quote left open? If quotes are plain characters here, say "
        f"format='tsv', separator={shown!r} (--format tsv --separator {shown!r})"
    )


def _jsonl(lines: Iterator[tuple[int, str]], path: str | None) -> Iterator[Record]:
    """Read one JSON object per line."""
    for number, line in lines:
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


def _document(file: OpenFile, options: ReadOptions) -> Iterator[Record]:
    """Read the records of one JSON document, counted from 1."""
    text = decode_all(file, options.encoding)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):  # lines after all, the first longer than what was looked at
            yield from _jsonl(enumerate(text.removesuffix("\n").split("\n"), 1), file.name)
            return
        raise DataError(
            f"not JSON: {error}",
            path=file.name,
            line=getattr(error, "lineno", None),
            remedy="expected a list of objects, or one object per line",
        ) from error
    del text
    yield from enumerate(document_records(content, file.name), 1)


def _fasttext(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    """Read lines of fastText: labels with their prefix, then the text."""
    for number, line in lines:
        labels, rest = [], line.strip()
        while rest.startswith(LABEL_PREFIX):
            label, *others = rest.split(None, 1)
            labels.append(label.removeprefix(LABEL_PREFIX))
            rest = others[0] if others else ""
        yield number, {"text": rest, "label": labels or None} if line.strip() else {}


def _arrow(file: OpenFile, kind: TableKind) -> Iterator[Record]:
    """Read the rows of a Parquet or Arrow file, counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = file.name
    try:
        stream = file.stream if file.stream.seekable() else pa.BufferReader(file.stream.read())
        if kind.content == "parquet":
            table = pq.ParquetFile(stream)
            schema, batches = table.schema_arrow, table.iter_batches(batch_size=4096)
        else:
            opened = pa.ipc.open_file(stream)
            schema = opened.schema
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        names = class_names(schema.metadata)
        number = 0
        for batch in batches:
            for record in batch.to_pylist():
                number += 1
                yield number, with_names(record, names) if names else record
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        what = "a Parquet" if kind.content == "parquet" else "an Arrow"
        raise DataError(f"not {what} file: {error}", path=path) from error
