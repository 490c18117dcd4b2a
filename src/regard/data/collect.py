"""The one place where rows are checked, counted and stored, whatever file they come from."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from regard.data.corpus import CHUNK, Corpus, Report, Text
from regard.data.options import Reading
from regard.errors import DataError

__all__ = ["Row", "collect"]

_TEXTS = pa.list_(pa.string())


class Row(NamedTuple):
    """What a reader found in a line, before it is checked.

    Args:
        source: may be empty.
        targets: `None` where a corpus has none by design; `()` or empty where this line lacks its
            own.
        labels: `None` where a corpus has none by design.
        file: place in the list of files.
        line: counted from 1.
        unlabelled: whether this line lacks a label that it should have.
    """

    source: Text
    targets: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    file: int
    line: int
    unlabelled: bool = False


def collect(
    rows: Iterable[Row], files: Sequence[str], reading: Reading, *, notes: Sequence[str] = ()
) -> Corpus:
    """Check rows, leave out and count what cannot be used, and keep the rest as a corpus.

    Args:
        rows: of all files, in order.
        files: their names, for reports and origins.
        reading: longest text, memory.
        notes: for the report; may still grow while `rows` are read.

    Raises:
        DataError: nothing is left, or a row does not go with the others.
    """
    tally = _Tally(files, reading)
    store = _Store(files, reading)
    kept = (row for row in map(tally.check, rows) if row is not None)
    try:
        while chunk := list(islice(kept, CHUNK)):
            store.add(chunk)
        table = store.finish()
    except BaseException:
        store.abandon()
        raise
    report = Report(
        files=tuple(files),
        lines=tally.lines,
        examples=len(table),
        skipped=tally.skipped,
        first=tally.first,
        cut=tally.cut,
        notes=tuple(notes),
    )
    if not report.examples:
        why = ", ".join(f"{count:,} x {reason}" for reason, count in tally.skipped.items())
        problem = (
            f"no example in {tally.lines:,} lines ({why})"
            if why
            else "a header and nothing below it"
        )
        raise DataError(problem, path=", ".join(files))
    return Corpus(table, report)


class _Tally:
    """Decides about each row and keeps count."""

    def __init__(self, files: Sequence[str], reading: Reading) -> None:
        self.lines = self.cut = 0
        self.skipped: dict[str, int] = {}
        self.first: dict[str, tuple[str, int]] = {}
        self._files, self._limit = files, reading.max_characters
        self._skips = reading.over_long == "skip"

    def check(self, row: Row) -> Row | None:
        """Return the row as it is kept, or `None`, counted."""
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
            self._leave_out("empty " + " and ".join(empty), row)
            return None
        if self._limit is not None and max(map(_length, (source, *(targets or ())))) > self._limit:
            if self._skips:
                self._leave_out(f"longer than {self._limit:,} characters", row)
                return None
            self.cut += 1
            source = _cut(source, self._limit)
            targets = targets and tuple(target[: self._limit] for target in targets)
        return row._replace(source=source, targets=targets)

    def _leave_out(self, reason: str, row: Row) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self.first.setdefault(reason, (self._files[row.file], row.line))


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _cut(text: Text, limit: int) -> Text:
    """Return the beginning of a text; of a document whole sentences, but part of the first."""
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
    """Rows as Arrow columns: in memory first, in a file from the moment they are too many."""

    def __init__(self, files: Sequence[str], reading: Reading) -> None:
        self._files, self._reading = files, reading
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._schema: pa.Schema | None = None
        self._path: Path | None = None
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        """Keep some rows."""
        if self._schema is None:
            self._schema = _schema(rows[0])
        batch = self._batch(rows, self._schema)
        self._bytes += batch.nbytes
        self._batches.append(batch)
        if self._bytes > self._reading.in_memory:
            self._write()

    def finish(self) -> pa.Table:
        """Return everything as one table."""
        if self._path is None:
            return pa.Table.from_batches(self._batches, self._schema or pa.schema([]))
        self._write()
        self._writer.close()
        table = pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()
        weakref.finalize(table, self.abandon)
        return table

    def abandon(self) -> None:
        """Remove the file, if there is one."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Move what is in memory to the file."""
        try:
            if self._path is None:
                folder = self._reading.cache
                if folder is not None:
                    Path(folder).mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(".arrow", "regard-corpus-", folder)
                os.close(handle)
                self._path = Path(name)
                self._writer = pa.ipc.new_file(name, self._schema)
            for batch in self._batches:
                self._writer.write_batch(batch)
        except OSError as error:
            raise DataError(
                f"the corpus is too large for memory and cannot be put on the disk ({error})",
                path=self._reading.cache or tempfile.gettempdir(),
                remedy="say cache= a folder with more room, or raise in_memory=",
            ) from error
        self._batches.clear()

    def _batch(self, rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
        columns: list[list[Any]] = [
            [row.source for row in rows],
            [row.targets or () for row in rows],
            [row.labels or () for row in rows],
            [row.file for row in rows],
            [row.line for row in rows],
        ]
        try:
            arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
        except (pa.ArrowException, UnicodeEncodeError):
            raise self._misfit(rows, schema) from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _misfit(self, rows: Sequence[Row], schema: pa.Schema) -> DataError:
        """Return what is wrong with the first row that Arrow cannot hold."""
        documents = schema.field("source").type == _TEXTS
        for row in rows:
            path = self._files[row.file]
            if isinstance(row.source, str) == documents:
                kinds = ("a list of sentences", "one text")
                came, before = kinds if not documents else kinds[::-1]
                problem = f"the source is {came}, where lines before hold {before}"
                return DataError(problem, path=path, line=row.line)
            texts = [row.source] if isinstance(row.source, str) else [*row.source]
            if _broken("".join([*texts, *(row.targets or ()), *(row.labels or ())])):
                return DataError(
                    "half a surrogate pair (as in \\ud83d), which is not text",
                    path=path,
                    line=row.line,
                    remedy="write the file again as UTF-8",
                )
        raise AssertionError("Arrow refused rows that are fine")


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _schema(row: Row) -> pa.Schema:
    return pa.schema(
        {
            "source": pa.string() if isinstance(row.source, str) else _TEXTS,
            "targets": _TEXTS,
            "labels": _TEXTS,
            "file": pa.int32(),
            "line": pa.int64(),
        }
    )
