"""Checked examples, as many as fit on the disk, behind one interface."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from regard.errors import DataError, SettingsError, nearest

__all__ = ["Corpus", "Example", "Reading", "Report", "Row", "collect"]

Text = str | tuple[str, ...]
"""A text, or a document as its sentences."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn from.

    Args:
        source: the text that goes in; a document comes as a tuple of its sentences.
        target: the text that should come out (the first, where several are right).
        labels: names of classes; one, or any number when a corpus is multi-label.
        origin: `(file, line)`, lines counted from 1.
        references: every text that is right; the target is the first.
    """

    source: Text
    target: str | None = None
    labels: tuple[str, ...] = ()
    origin: tuple[str, int] = ("", 0)
    references: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The source as one string."""
        return self.source if isinstance(self.source, str) else " ".join(self.source)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The source as sentences; a plain text counts as one."""
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True)
class Reading:
    """How files are read, whatever is in them.

    Args:
        encoding: of text files.
        format: of tables; `None` goes by the file's ending.
        separator: between the columns of a line of text; `None` is a tab in TSV. A space splits
            only at the first one, as in `label the text`.
        max_characters: longest text taken as it is.
        over_long: what happens to longer ones: `"skip"` leaves the example out, `"cut"` keeps its
            beginning. Both are counted in the report.
        in_memory: bytes of text kept in memory; a larger corpus goes to a file and is
            memory-mapped.
        cache: folder for that file; `None` is the system's temporary folder. The file goes when its
            corpus does.
    """

    encoding: str = "utf-8"
    format: Literal["tsv", "csv", "jsonl", "parquet"] | None = None
    separator: str | None = None
    max_characters: int | None = None
    over_long: Literal["skip", "cut"] = "skip"
    in_memory: int = 2**28
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise SettingsError(f"unknown format {self.format!r}; {nearest(self.format, FORMATS)}")
        if self.over_long not in ("skip", "cut"):
            raise SettingsError(f"over_long is {self.over_long!r}, expected 'skip' or 'cut'")
        if self.max_characters is not None and self.max_characters < 1:
            raise SettingsError(f"max_characters is {self.max_characters}, expected 1 or more")


FORMATS = ("tsv", "csv", "jsonl", "parquet")


@dataclass(frozen=True)
class Report:
    """What became of the lines of the files: `lines == examples + sum(skipped.values())`.

    Args:
        files: that were read.
        lines: looked at; of a table its rows, without the header.
        examples: made of them.
        skipped: reason -> how many lines were left out for it.
        first: reason -> where it was met first.
        cut: how many texts were shortened.
        notes: what the reader decided for itself, for people.
    """

    files: tuple[str, ...]
    lines: int
    examples: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    cut: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.examples:,} examples from {self.lines:,} lines of {', '.join(self.files)}"]
        parts += [
            f"skipped {count:,}: {reason} (first {self.first[reason][0]}:{self.first[reason][1]})"
            for reason, count in self.skipped.items()
        ]
        parts += [f"cut {self.cut:,} texts to the longest allowed"] if self.cut else []
        return "; ".join([*parts, *self.notes])


class Row(NamedTuple):
    """What a reader found in a line, before it is checked.

    `None` targets or labels where the corpus has none by design; `unlabelled` where this line lacks
    its own.
    """

    source: Text
    targets: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    file: int
    line: int
    unlabelled: bool = False


class Corpus(Sequence[Example]):
    """Examples, with a report of how they were read: `len(corpus)`, `corpus[3]`, iteration.

    Made by the readers. Held as Arrow columns: in memory, or memory-mapped when large.
    """

    def __init__(
        self, table: pa.Table, report: Report, *, rows: NDArray[np.int64] | None = None
    ) -> None:
        self._table = table
        self._rows = np.arange(len(table)) if rows is None else rows
        self.report = report

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Corpus({len(self):,} examples from {', '.join(self.report.files)})"

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Corpus: ...
    def __getitem__(self, index: int | slice) -> Example | Corpus:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        row = self._table.slice(int(self._rows[index]), 1).to_pylist()[0]
        return self._example(row)

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), _CHUNK):
            for row in self._table.take(self._rows[start : start + _CHUNK]).to_pylist():
                yield self._example(row)

    def select(self, indices: ArrayLike) -> Corpus:
        """Return the corpus of these examples, in this order; nothing is copied."""
        return Corpus(
            self._table, self.report, rows=self._rows[np.asarray(indices, dtype=np.int64)]
        )

    @property
    def label_names(self) -> list[str]:
        """Every label that occurs, once, in order (numbers as numbers)."""
        names = pc.list_flatten(self._table["labels"].take(self._rows)).unique().to_pylist()
        numeric = all(name.isdecimal() for name in names)
        return sorted(names, key=(lambda name: (int(name), name)) if numeric else None)

    @property
    def multi_label(self) -> bool:
        """Whether some example has more than one label, or none where others have some."""
        counts = pc.list_value_length(self._table["labels"].take(self._rows)).unique().to_pylist()
        return len(counts) > 1 or any(count > 1 for count in counts)

    def _example(self, row: dict[str, Any]) -> Example:
        source, targets = row["source"], tuple(row["targets"])
        return Example(
            source=source if isinstance(source, str) else tuple(source),
            target=targets[0] if targets else None,
            labels=tuple(row["labels"]),
            origin=(self.report.files[row["file"]], row["line"]),
            references=targets,
        )


_CHUNK = 8192


def collect(
    rows: Iterable[Row], files: Sequence[str], reading: Reading, *, notes: Iterable[str] = ()
) -> Corpus:
    """Check rows, leave out and count what cannot be used, and keep the rest as a corpus.

    Raises:
        DataError: nothing is left, or a text holds half a surrogate pair.
    """
    tally = _Tally(reading)
    store = _Store(reading, tuple(files))
    checked = (kept for row in rows if (kept := tally.check(row, files)) is not None)
    while chunk := list(islice(checked, _CHUNK)):
        store.add(chunk)
    table = store.finish()
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
        why = ", ".join(f"{count} x {reason}" for reason, count in tally.skipped.items())
        raise DataError(
            f"no example in {tally.lines:,} lines ({why})" if why else "an empty file",
            path=", ".join(files),
        )
    return Corpus(table, report)


class _Tally:
    """Decides about each row and keeps count."""

    def __init__(self, reading: Reading) -> None:
        self.lines = self.cut = 0
        self.skipped: dict[str, int] = {}
        self.first: dict[str, tuple[str, int]] = {}
        self._reading = reading

    def check(self, row: Row, files: Sequence[str]) -> Row | None:
        self.lines += 1
        row, reason = self._fit(row)
        if reason is None:
            return row
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self.first.setdefault(reason, (files[row.file], row.line))
        return None

    def _fit(self, row: Row) -> tuple[Row, str | None]:
        """Return the row as it is kept, or why it is not."""
        source = row.source if isinstance(row.source, str) else tuple(filter(str.strip, row.source))
        targets = None if row.targets is None else tuple(filter(str.strip, row.targets))
        empty = [
            name
            for name, missing in (
                ("source", not source.strip() if isinstance(source, str) else not source),
                ("target", targets == ()),
                ("label", row.unlabelled),
            )
            if missing
        ]
        if empty:
            return row, "empty " + " and ".join(empty)
        limit = self._reading.max_characters
        if limit is not None:
            longest = max(map(_characters, (source, *(targets or ()))))
            if longest > limit and self._reading.over_long == "skip":
                return row, f"longer than {limit:,} characters"
            if longest > limit:
                self.cut += 1
                source, targets = _cut(source, limit), tuple(t[:limit] for t in targets or ())
        return row._replace(source=source, targets=targets), None


def _characters(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _cut(text: Text, limit: int) -> Text:
    """Return the beginning of a text; of a document whole sentences, but part of the first."""
    if isinstance(text, str):
        return text[:limit]
    kept: list[str] = []
    for sentence in text:
        if sum(map(len, kept)) + len(sentence) > limit:
            break
        kept.append(sentence)
    return tuple(kept) or (text[0][:limit],)


class _Store:
    """Rows as Arrow columns: in memory first, in a file from the moment they are too many."""

    def __init__(self, reading: Reading, files: tuple[str, ...]) -> None:
        self._reading, self._files = reading, files
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._schema: pa.Schema | None = None
        self._path: Path | None = None
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        """Keep some rows."""
        if self._schema is None:
            self._schema = _schema(documents=not isinstance(rows[0].source, str))
        batch = self._batch(rows, self._schema)
        self._bytes += batch.nbytes
        if self._writer is not None:
            self._writer.write_batch(batch)
            return
        self._batches.append(batch)
        if self._bytes > self._reading.in_memory:
            self._spill()

    def finish(self) -> pa.Table:
        """Return everything as one table."""
        if self._writer is None:
            return pa.Table.from_batches(self._batches, self._schema or _schema(documents=False))
        self._writer.close()
        table = pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()
        weakref.finalize(table, Path.unlink, self._path, missing_ok=True)
        return table

    def _spill(self) -> None:
        folder = self._reading.cache
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="regard-corpus-", suffix=".arrow", dir=folder)
        os.close(handle)
        self._path = Path(name)
        self._writer = pa.ipc.new_file(name, self._schema)
        for batch in self._batches:
            self._writer.write_batch(batch)
        self._batches.clear()

    def _batch(self, rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
        columns = [
            [row.source for row in rows],
            [row.targets or () for row in rows],
            [row.labels or () for row in rows],
            [row.file for row in rows],
            [row.line for row in rows],
        ]
        return pa.RecordBatch.from_arrays(
            [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
        )


def _schema(*, documents: bool) -> pa.Schema:
    texts = pa.list_(pa.string())
    return pa.schema(
        {
            "source": texts if documents else pa.string(),
            "targets": texts,
            "labels": texts,
            "file": pa.int32(),
            "line": pa.int64(),
        }
    )
