"""Check, count and store rows of every file format, in one place."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from regard.data.corpus import ROWS_AT_A_TIME, Corpus, Report, Text, listed
from regard.data.options import ReadOptions
from regard.errors import DataError
from regard.text import SentencePair

__all__ = ["Row", "collect"]

_TEXTS = pa.list_(pa.string())
_PAIR = pa.struct([("first", pa.string()), ("second", pa.string())])


class Row(NamedTuple):
    """Content of one line, as a reader found it and before it is checked.

    Args:
        source: may be empty.
        targets: `None` if the corpus has no targets; `()` or empty strings if this line lacks its own.
        labels: `None` if the corpus has no labels.
        file: index in the list of files.
        line: counted from 1.
        unlabelled: true if this line lacks a required label.
    """

    source: Text
    targets: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    file: int
    line: int
    unlabelled: bool = False


def collect(
    rows: Iterable[Row], files: Sequence[str], options: ReadOptions, *, notes: Sequence[str] = ()
) -> Corpus:
    """Make a corpus of rows; those that cannot be used are left out and counted.

    Args:
        rows: of all files, in order.
        files: their names, for reports and origins.
        options: longest text, and how much memory to use.
        notes: for the report; may still grow while `rows` are read.

    Raises:
        DataError: no row is usable, or a row does not match the others.
    """
    checker = _RowChecker(files, options)
    store = _Store(files, options)
    kept = (row for row in map(checker.check, rows) if row is not None)
    try:
        while chunk := list(islice(kept, ROWS_AT_A_TIME)):
            store.add(chunk)
        table = store.finish()
    except BaseException:  # Ctrl-C, too, leaves no file behind
        store.discard()
        raise
    report = Report(
        files=tuple(files),
        lines=checker.lines,
        examples=len(table),
        skipped=checker.skipped,
        first=checker.first,
        cut=checker.cut,
        notes=tuple(notes),
    )
    if not report.examples:
        why = ", ".join(f"{count:,} x {reason}" for reason, count in checker.skipped.items())
        problem = (
            f"no example in {checker.lines:,} lines ({why})"
            if why
            else "a header and nothing below it"
        )
        raise DataError(problem, path=listed(files))
    return Corpus(table, report)


class _RowChecker:
    """Accepts, shortens or skips each row, and counts."""

    def __init__(self, files: Sequence[str], options: ReadOptions) -> None:
        self.lines = self.cut = 0
        self.skipped: dict[str, int] = {}
        self.first: dict[str, tuple[str, int]] = {}
        self._files, self._limit = files, options.max_characters
        self._skip_long = options.over_long == "skip"
        self._kind: str | None = None

    def check(self, row: Row) -> Row | None:
        """The row to keep, or `None` if it is skipped; counts both."""
        self.lines += 1
        source: Text = row.source
        if not isinstance(source, str):
            source = tuple(filter(str.strip, source))
        targets = None if row.targets is None else tuple(filter(str.strip, row.targets))
        empty = [
            name
            for name, missing in (
                ("source", not (source.strip() if isinstance(source, str) else source)),
                ("target", targets == ()),
                ("label", row.unlabelled),
            )
            if missing
        ]
        if empty:
            self._skip("empty " + " and ".join(empty), row)
            return None
        kind = _kind(source)
        if kind != self._kind:  # Arrow would take a text for a list of characters
            if self._kind is not None:
                raise self._mixed(row, kind, self._kind)
            self._kind = kind
        if self._limit is not None and max(map(_length, (source, *(targets or ())))) > self._limit:
            if self._skip_long:
                self._skip(f"longer than {self._limit:,} characters", row)
                return None
            self.cut += 1
            source = _cut(source, self._limit)
            targets = targets and tuple(target[: self._limit] for target in targets)
        return row._replace(source=source, targets=targets)

    def _mixed(self, row: Row, came: str, before: str) -> DataError:
        return DataError(
            f"the source is {came}, where lines before hold {before}",
            path=self._files[row.file],
            line=row.line,
            remedy="write all of them in one way",
        )

    def _skip(self, reason: str, row: Row) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self.first.setdefault(reason, (self._files[row.file], row.line))


def _kind(text: Text) -> str:
    """What a source is, in words."""
    if isinstance(text, SentencePair):
        return "a pair of texts"
    return "one text" if isinstance(text, str) else "a list of sentences"


def _stored(text: Text) -> Any:
    """A source as Arrow takes it."""
    if isinstance(text, SentencePair):
        return {"first": text.first, "second": text.second}
    return text


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _cut(text: Text, limit: int) -> Text:
    """The beginning of a text or of both of a pair; of a document whole sentences, or a part of the first."""
    if isinstance(text, SentencePair):
        return text.cut(limit)
    if isinstance(text, str):
        return text[:limit]
    kept: list[str] = []
    for sentence in text:
        limit -= len(sentence)
        if limit < 0:
            break
        kept.append(sentence)
    return tuple(kept) or (text[0][:limit],)


class _Store:
    """Rows as Arrow columns: in memory, then in a file once they exceed `options.in_memory`."""

    def __init__(self, files: Sequence[str], options: ReadOptions) -> None:
        self._files, self._options = files, options
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._schema: pa.Schema | None = None
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        if self._schema is None:
            self._schema = _schema(rows[0])
        batch = self._batch(rows, self._schema)
        self._bytes += batch.nbytes
        self._batches.append(batch)
        if self._bytes > self._options.in_memory:
            self._write()

    def finish(self) -> pa.Table:
        """All rows as one table."""
        if self._file is None:
            return pa.Table.from_batches(self._batches, self._schema or pa.schema([]))
        self._write()
        self._writer.close()
        self._file.flush()
        with (
            self._file as file
        ):  # which has no name any more: however the process ends, nothing is left
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))).read_all()

    def discard(self) -> None:
        """Give the file back, if there is one."""
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        """Move the rows in memory to the file."""
        try:
            if self._file is None:
                folder = self._options.cache
                if folder is not None:
                    Path(folder).mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(prefix="regard-corpus-", dir=folder)  # noqa: SIM115
                self._writer = pa.ipc.new_file(self._file, self._schema)
            for batch in self._batches:
                self._writer.write_batch(batch)
        except OSError as error:
            raise DataError(
                f"the corpus is too large for memory and cannot be put on the disk ({error})",
                path=self._options.cache or tempfile.gettempdir(),
                remedy="say cache= a folder with more room, or raise in_memory=",
            ) from error
        self._batches.clear()

    def _batch(self, rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
        columns: list[list[Any]] = [
            [_stored(row.source) for row in rows],
            [row.targets or () for row in rows],
            [row.labels or () for row in rows],
            [row.file for row in rows],
            [row.line for row in rows],
        ]
        try:
            arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
        except (pa.ArrowException, UnicodeEncodeError):
            raise self._first_bad_row(rows) from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _first_bad_row(self, rows: Sequence[Row]) -> DataError:
        """The error of the first row that Arrow cannot hold."""
        for row in rows:
            texts = [row.source] if isinstance(row.source, str) else [*row.source]
            if _has_lone_surrogate("".join([*texts, *(row.targets or ()), *(row.labels or ())])):
                return DataError(
                    "half a surrogate pair (as in \\ud83d), which is not text",
                    path=self._files[row.file],
                    line=row.line,
                    remedy="write the file again as UTF-8",
                )
        raise AssertionError("Arrow refused rows that are fine")


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _schema(row: Row) -> pa.Schema:
    types = {"a pair of texts": _PAIR, "one text": pa.string(), "a list of sentences": _TEXTS}
    return pa.schema(
        {
            "source": types[_kind(row.source)],
            "targets": _TEXTS,
            "labels": _TEXTS,
            "file": pa.int32(),
            "line": pa.int64(),
        }
    )
