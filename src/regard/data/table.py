"""Read tables into corpora: TSV, CSV, JSON, Parquet, fastText, folders of texts, `label the text`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from regard.data.collect import Row, collect
from regard.data.columns import (
    Labelled,
    Layout,
    Pairs,
    Texts,
    choose_cells,
    choose_fields,
)
from regard.data.corpus import Corpus
from regard.data.datasets import Files, resolve_files
from regard.data.folders import documents_in
from regard.data.formats import Cells, Record, delimited, records
from regard.data.headers import header_hint
from regard.data.hub import PREFIX, hub_records
from regard.data.lines import LINE_FEEDS, lines_of
from regard.data.options import ReadOptions
from regard.data.sniff import TableKind, has_table_ending, sniff
from regard.data.streams import OpenFile, opened
from regard.data.values import LabelSpelling, are_flags, flags_in, labels_in, text_in
from regard.errors import DataError

__all__ = [
    "TableRow",
    "TableRows",
    "is_lines",
    "read_table",
    "rows_of_cells",
    "rows_of_records",
    "rows_of_table",
]

_HEAD = 1000
"""Rows inspected to tell the column of labels from the column of texts."""


class TableRow(NamedTuple):
    """One row of a table, its values not yet looked at.

    Args:
        line: counted from 1; of Parquet and of a JSON document the number of the record.
        texts: values of the columns of the text; empty for a blank line.
        others: values of the columns of labels or targets.
        row: the whole row, as a list of cells or a record.
    """

    line: int
    texts: Sequence[Any]
    others: Sequence[Any]
    row: Any


class TableRows(NamedTuple):
    """The rows of a table whose columns are known.

    Args:
        layout: where the columns are.
        rows: all of them, without the header.
        flags: true if the columns of labels hold 0 and 1.
        note: for the report; empty if there is nothing to say.
    """

    layout: Layout
    rows: Iterator[TableRow]
    flags: bool = False
    note: str = ""


def read_table(
    paths: Files,
    columns: Labelled | Pairs | Texts | None = None,
    *,
    options: ReadOptions | None = None,
) -> Corpus:
    """Read one or several tables.

    What a file is follows from its content, and from its ending (`.tsv`, `.txt`, `.csv`, `.jsonl`, `.parquet`)
    where that leaves a choice, or from `options.format`. Packed files (gzip, bzip2, xz, Zstandard, LZ4, ZIP)
    are unpacked. A folder with a folder per label and a file per text is a table, too. In TSV a quote is a
    plain character, unless the cells are quoted as pandas writes them; CSV follows RFC 4180::

        read_table("reviews.tsv")
        read_table("train.txt", options=ReadOptions(separator=" ", encoding="latin-1"))
        read_table("papers.jsonl", Pairs(source="abstract", target="summary"))
        read_table("films.csv", Labelled(text="plot", label="genres", separator="|"))
        read_table("comments.csv", Labelled(text="comment", label=["toxic", "rude"]))
        read_table("wmt.jsonl", Pairs(source="translation.de", target="translation.en"))

    Args:
        paths: one file or several.
        columns: `Labelled()` (the default), `Pairs()` or `Texts()`, with names or numbers of columns that do
            not have usual names.
        options: encoding, longest line and more.

    Raises:
        DataError: a column is missing, a row has too few or too many cells, a file is empty or
            unreadable.
    """
    columns = columns or Labelled()
    options = options or ReadOptions()
    files = resolve_files(paths)
    origins: list[str] = []
    notes: list[str] = []
    spelling = LabelSpelling()

    def rows() -> Iterator[Row]:
        for path in files:
            spelling.next_file()
            if Path(path).is_dir():
                yield from _rows_of_folder(path, columns, options, origins)
                continue
            file = len(origins)
            origins.append(path)
            if path.startswith(PREFIX):
                table = rows_of_records(hub_records(path), columns, path)
                yield from rows_of_table(table, columns, spelling, file, path)
                continue
            with opened(path) as opened_file:
                yield from _rows_of_file(opened_file, path, columns, options, spelling, notes, file)
            if spelling.notes:
                pairs = ", ".join(
                    f"{here!r} as {there!r}" for here, there in spelling.notes.items()
                )
                notes.append(f"{path}: labels are spelled as in lines before: {pairs}")

    return collect(rows(), origins, options, notes=notes)


def is_lines(
    kind: TableKind, name: str, columns: Labelled | Pairs | Texts, options: ReadOptions
) -> bool:
    """True if texts are asked for and the file is no table: every line is a text."""
    if not isinstance(columns, Texts) or columns.text is not None:
        return False
    given = options.format is not None or options.separator is not None
    return (
        not given
        and kind.content in ("tsv", "csv")
        and kind.columns < 2
        and not (has_table_ending(name))
    )


def _rows_of_file(
    file: OpenFile,
    path: str,
    columns: Labelled | Pairs | Texts,
    options: ReadOptions,
    spelling: LabelSpelling,
    notes: list[str],
    number: int,
) -> Iterator[Row]:
    """The rows of an open file."""
    kind = sniff(file, options, lines_do=isinstance(columns, Texts))
    if is_lines(kind, path, columns, options):
        yield from (
            Row(t, None, None, number, line) for line, t in lines_of(file, options.encoding)
        )
        return
    if kind.note:
        notes.append(f"{path}: {kind.note}")
    if kind.content in ("tsv", "csv"):
        table = rows_of_cells(delimited(file, kind, options), columns, file.name, kind)
    else:
        if kind.content == "fasttext" and isinstance(columns, Labelled):
            columns = Labelled(rare=columns.rare)  # its parts have no names to choose from
        table = rows_of_records(records(file, kind, options), columns, file.name)
    if table.note:
        notes.append(f"{path}: {table.note}")
    yield from rows_of_table(table, columns, spelling, number, file.name)


def rows_of_cells(
    found: Iterator[Cells],
    columns: Labelled | Pairs | Texts,
    path: str | None,
    kind: TableKind,
) -> TableRows:
    """Find the columns of a table of cells; its rows must all have as many cells.

    Raises:
        DataError: an empty file, or columns that cannot be found.
    """
    head = list(islice(found, _HEAD))
    filled = [cells for _, cells in head if cells]
    if not filled:
        raise DataError("an empty file", path=path)
    layout = choose_cells(columns, filled, path)
    note = ""
    if layout.guessed and layout.other and not isinstance(columns, Texts):
        first, second = columns.roles
        note = f"column {layout.text[0] + 1} taken for the {first}, {layout.other[0] + 1} for the {second}"
        if not layout.header:
            options = {"--source": layout.text[0], "--target": layout.other[0]}
            note += header_hint(filled, options)
        else:
            note += f"; line 1 taken for a header ({', '.join(map(repr, layout.names))})"
    note = note or _pair_note(layout)
    data = filled[layout.header :]
    flags = len(layout.other) > 1 and all(
        are_flags([cells[i] for i in layout.other])
        for cells in data
        if len(cells) == len(filled[0])
    )

    def rows() -> Iterator[TableRow]:
        header, width = layout.header, len(filled[0])
        text_of, other_of = _cells_at(layout.text), _cells_at(layout.other)
        for line, cells in chain(head, found):
            if not cells:
                yield TableRow(line, [], [], cells)
            elif len(cells) != width:
                raise _uneven(cells, width, path, line, kind)
            elif header:
                header = False
            else:
                yield TableRow(line, text_of(cells), other_of(cells), cells)

    return TableRows(layout, rows(), flags, note)


def _cells_at(positions: tuple[int, ...]) -> Callable[[list[str]], Sequence[Any]]:
    """A function that takes the cells at some positions of a row, as fast as Python can."""
    if not positions:
        return lambda cells: ()
    if len(positions) == 1:
        return itemgetter(slice(positions[0], positions[0] + 1))
    return itemgetter(*positions)


def _uneven(
    cells: list[str], expected: int, path: str | None, line: int, kind: TableKind
) -> DataError:
    """The error about a row with too few or too many cells."""
    problem = (
        f"{len(cells)} column{'s' * (len(cells) > 1)}, expected {expected} as in the first line"
    )
    remedy = "is the line cut short, or a separator missing?"
    if any("\r" in cell for cell in cells):
        problem, remedy = f"a carriage return inside the line, and {problem}", LINE_FEEDS
    elif kind.content == "tsv" and any(cell.startswith('"') for cell in cells):
        shown = "tab" if kind.separator == "\t" else kind.separator
        remedy = (
            "if cells are in quotes, as pandas and Excel write them, say format='csv', "
            f"separator={shown!r} (--format csv --separator {shown!r})"
        )
    elif len(cells) > expected:
        remedy = "is there a separator inside the text?"
    return DataError(problem, path=path, line=line, remedy=remedy)


def rows_of_records(
    found: Iterator[Record], columns: Labelled | Pairs | Texts, path: str | None
) -> TableRows:
    """Find the columns of records with named fields.

    Raises:
        DataError: an empty file, or columns that cannot be found.
    """
    head = list(islice(found, _HEAD))
    filled = [record for _, record in head if record]
    if not head:
        raise DataError("an empty file", path=path)
    if not filled:
        return TableRows(Layout((), (), ()), (TableRow(line, [], [], {}) for line, _ in head))
    layout = choose_fields(columns, filled, path)
    whole = [
        r
        for r in filled
        if all(name.split(".")[0] in r or name in r for name in layout.text + layout.other)
    ]
    known = {name for record in whole for name in record}

    def value(record: dict[str, Any], name: str, line: int) -> Any:
        if name in record:
            return record[name]
        inner: Any = record
        for part in name.split("."):
            if inner is None:
                return None
            if not isinstance(inner, dict) or part not in inner:
                break
            inner = inner[part]
        else:
            return inner
        if record.keys() <= known:  # the field is left out where it is empty
            return None
        there = ", ".join(map(repr, record))
        raise DataError(f"no field {name!r}; there are {there}", path=path, line=line)

    def rows() -> Iterator[TableRow]:
        one = len(layout.text) == len(layout.other) == 1
        text, other = (layout.text[0], layout.other[0]) if one else ("", "")
        for line, record in chain(head, found):
            if record:
                if one and text in record and other in record:  # nearly always
                    yield TableRow(line, (record[text],), (record[other],), record)
                    continue
                texts = [value(record, name, line) for name in layout.text]
                others = [value(record, name, line) for name in layout.other]
                yield TableRow(line, texts, others, record)
            else:
                yield TableRow(line, [], [], record)

    flags = len(layout.other) > 1 and all(
        are_flags([value(record, name, line) for name in layout.other])
        for line, record in head
        if record
    )
    return TableRows(layout, rows(), flags, _pair_note(layout))


def _pair_note(layout: Layout) -> str:
    """Note for the report where a pair was found by its usual names."""
    if not layout.pair:
        return ""
    first, second = (layout.names[i] if isinstance(i, int) else i for i in layout.text)
    return f"{first!r} and {second!r} are read as a pair"


def rows_of_table(
    table: TableRows,
    columns: Labelled | Pairs | Texts,
    spelling: LabelSpelling,
    file: int,
    path: str | None,
) -> Iterator[Row]:
    """Texts, targets and labels in the values of a table."""
    names = [str(name) for name in table.layout.other]
    if table.layout.other and isinstance(table.layout.other[0], int):
        names = [table.layout.names[index] for index in table.layout.other]
    labelled, pairs = isinstance(columns, Labelled), isinstance(columns, Pairs)
    separator = columns.separator if isinstance(columns, Labelled) else None
    single, flags = len(names) == 1, table.flags
    for line, texts, others, _ in table.rows:
        if not texts:
            yield Row("", None, None, file, line)
            continue
        try:
            source = text_in(texts)
            if labelled:
                labels = (
                    labels_in(others[0], separator)
                    if single
                    else _several_labels(others, names, separator, flags=flags)
                )
                spelled = spelling(labels) if labels else ()
                yield Row(source, None, spelled, file, line, labels is None)
            elif pairs:
                yield Row(source, _targets(others), None, file, line)
            else:
                yield Row(source, None, None, file, line)
        except TypeError as error:
            raise DataError(str(error), path=path, line=line) from error


def _several_labels(
    values: Sequence[Any], names: Sequence[str], separator: str | None, *, flags: bool
) -> tuple[str, ...] | None:
    """The labels of a row, from several columns; `None` if it has none to read."""
    if flags:
        return flags_in(values, names)
    found = [labels for value in values if (labels := labels_in(value, separator)) is not None]
    return tuple(dict.fromkeys(chain.from_iterable(found))) if found else None


def _targets(values: Sequence[Any]) -> tuple[str, ...]:
    """The correct texts of a row."""
    found: list[str] = []
    for value in values:
        target = text_in([value])
        found += [target] if isinstance(target, str) else target
    return tuple(found)


def _rows_of_folder(
    path: str, columns: Labelled | Pairs | Texts, options: ReadOptions, origins: list[str]
) -> Iterator[Row]:
    """The texts in a folder; a folder in it is a label."""
    if isinstance(columns, Pairs):
        raise DataError("a folder, expected files", path=path, remedy="name the files in it")
    for name, label, text in documents_in(
        path, encoding=options.encoding, labelled=isinstance(columns, Labelled)
    ):
        origins.append(name)
        labels = None if isinstance(columns, Texts) else (label,) if label is not None else ()
        missing = isinstance(columns, Labelled) and label is None
        yield Row(text, None, labels, len(origins) - 1, 1, unlabelled=missing)
