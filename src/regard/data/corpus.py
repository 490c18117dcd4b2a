"""Checked examples in memory or memory-mapped, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from regard.text import SentencePair, split_sentences

__all__ = ["ROWS_AT_A_TIME", "Corpus", "Example", "Report", "Text", "listed"]

Text: TypeAlias = str | tuple[str, ...]
"""A text (also two, as a `SentencePair`), or a document as its sentences."""

ROWS_AT_A_TIME = 8192
"""Rows processed at a time."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example: a source with a target or labels.

    Args:
        source: the input text; a document is a tuple of its sentences.
        target: the expected output text (the first, if several are correct).
        labels: names of classes; one, or any number when a corpus is multi-label.
        origin: `(file, line)`, lines counted from 1.
        references: all correct output texts; the target is the first.
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
        """The source as sentences; a plain text is split after full stops and similar signs."""
        if isinstance(self.source, str):
            return tuple(split_sentences(self.source)) or (self.source,)
        return self.source


@dataclass(frozen=True)
class Report:
    """Account of all lines of the files: `lines == examples + sum(skipped.values())`.

    Args:
        files: names of the files.
        lines: read; of a table its rows, without the header.
        examples: made from them.
        skipped: reason -> number of lines left out.
        first: reason -> `(file, line)` of the first one.
        cut: number of shortened examples.
        notes: decisions of the reader, as sentences.
    """

    files: tuple[str, ...]
    lines: int
    examples: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    cut: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = f"{self.lines:,} lines of {listed(self.files)}"
        parts = [f"{self.examples:,} examples from {lines}"]
        parts += [
            f"skipped {count:,}: {reason} (first {self.first[reason][0]}:{self.first[reason][1]})"
            for reason, count in self.skipped.items()
        ]
        parts += [f"cut {self.cut:,} to the longest allowed"] if self.cut else []
        return "; ".join([*parts, *self.notes])


def listed(files: Sequence[str]) -> str:
    """Names of files for a message: all of a few, the number of many."""
    return ", ".join(files) if len(files) < 5 else f"{len(files):,} files"


class Corpus(Sequence[Example]):
    """Examples, with a report of how they were read: `len(corpus)`, `corpus[3]`, iteration.

    Made by the readers. Held as Arrow columns: in memory, or memory-mapped when large.

    Args:
        table: with the columns of `collect._schema`.
        report: account of the reading.
        rows: which rows of the table are examples, in which order; `None` means all.
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
        return f"Corpus({len(self):,} examples from {listed(self.report.files)})"

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Corpus: ...
    def __getitem__(self, index: int | slice) -> Example | Corpus:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        return self._example(self._table.slice(int(self._rows[index]), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), ROWS_AT_A_TIME):
            for row in self._table.take(self._rows[start : start + ROWS_AT_A_TIME]).to_pylist():
                yield self._example(row)

    def select(self, indices: ArrayLike) -> Corpus:
        """The corpus of these examples, in this order; no text is copied."""
        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        return Corpus(self._table, self.report, rows=rows)

    def rename_labels(self, names: Mapping[str, str]) -> Corpus:
        """The corpus with other names for some labels; no text is copied.

        Args:
            names: new names by old ones.
        """
        renamed = [[names.get(label, label) for label in labels] for labels in self.label_sets()]
        table = self._table.select(["source", "targets", "file", "line"]).take(self._rows)
        labels = pa.array(renamed, type=self._table.schema.field("labels").type)
        table = table.append_column("labels", labels).select(self._table.column_names)
        return Corpus(table, self.report)

    @property
    def label_names(self) -> list[str]:
        """All distinct labels, sorted; whole numbers by value."""
        names: list[str] = pc.call_function("list_flatten", [self._labels()]).unique().to_pylist()
        if all(name.isdecimal() for name in names):
            return sorted(names, key=lambda name: (int(name), name))
        return sorted(names)

    def label_sets(self) -> list[tuple[str, ...]]:
        """Labels of each example, from their column alone: no text is read."""
        return [tuple(labels) for labels in self._labels().to_pylist()]

    @property
    def multi_label(self) -> bool:
        """True if some example has several labels, or none while others have some."""
        counts = pc.call_function("list_value_length", [self._labels()]).unique().to_pylist()
        return len(counts) > 1 or any(count > 1 for count in counts)

    def _labels(self) -> pa.ChunkedArray:
        return self._table["labels"].take(self._rows)

    def _example(self, row: dict[str, Any]) -> Example:
        source, targets = row["source"], tuple(row["targets"])
        return Example(
            source=_source(source),
            target=targets[0] if targets else None,
            labels=tuple(row["labels"]),
            origin=(self.report.files[row["file"]], row["line"]),
            references=targets,
        )


def _source(stored: str | list[str] | dict[str, str]) -> Text:
    """A source as `collect` stores it: a text, a document, or both texts of a pair by name."""
    if isinstance(stored, dict):
        return SentencePair(**stored)
    return stored if isinstance(stored, str) else tuple(stored)
