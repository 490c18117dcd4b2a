"""Tell what a table is by its first bytes: its format, its separator, its quotes.

The only place where that is decided: every reader takes the answer from here. The name of the file
matters only where the content leaves a choice.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from regard.data.headers import USUAL_NAMES
from regard.data.lines import check_text
from regard.data.options import ReadOptions
from regard.data.streams import STANDARD_INPUT, OpenFile, opened
from regard.errors import DataError

__all__ = [
    "LABEL_PREFIX",
    "Content",
    "TableKind",
    "ending_of",
    "has_table_ending",
    "holds_table",
    "labels_begin_lines",
    "separator_line",
    "sniff",
]

Content: TypeAlias = Literal["tsv", "csv", "jsonl", "json", "parquet", "arrow", "fasttext"]
"""What a table is: `tsv` is split as it is, `csv` has quotes, `json` is one document."""

LABEL_PREFIX = "__label__"
"""Beginning of a label in files of fastText."""

_ENDINGS: dict[str, Content] = {
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
    ".arrow": "arrow",
    ".feather": "arrow",
}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_LINES = 1000
"""Lines of the head that are looked at."""


@dataclass(frozen=True)
class TableKind:
    """What a table is.

    Args:
        content: the format.
        separator: between columns, of `tsv` and `csv`.
        escape: sign before a quote inside a quoted cell, of `csv`.
        columns: number of columns where all first lines have as many, 0 where they do not, 1 where
            nothing separates any.
        names_separator: true if the first line (`sep=;`) names the separator and is no data.
        note: for the report, where the content decided otherwise than the name or an option.
    """

    content: Content
    separator: str = ""
    escape: str | None = None
    columns: int = 0
    names_separator: bool = False
    note: str = ""


def ending_of(name: str | None) -> str:
    """The ending of a file's name in small letters, without that of its packing."""
    path = Path(name or "")
    while path.suffix.lower() in _PACKED:
        path = path.with_suffix("")
    return path.suffix.lower()


def has_table_ending(name: str) -> bool:
    """True if the name alone says that the file is a table."""
    return ending_of(name) in _ENDINGS.keys() - {".txt", ""}


def holds_table(name: str, options: ReadOptions | None) -> bool:
    """True if a file is a table by its name or its first lines; a pipe, to be read once, is taken for one."""
    if name.startswith("hub:") or name == STANDARD_INPUT or has_table_ending(name):
        return True
    if not Path(name).is_file():
        return Path(name).exists()
    with opened(name) as file:
        try:
            kind = sniff(file, options or ReadOptions())
        except DataError:  # the error comes when it is read
            return False
    return kind.content not in ("tsv", "csv") or kind.columns > 1


def labels_begin_lines(name: str, labels: Sequence[str], options: ReadOptions) -> bool:
    """True if nearly every one of a file's first lines is a known label, a space, and a text.

    Raises:
        DataError: it cannot be read.
    """
    if not Path(name).is_file():
        return False
    with opened(name) as file:
        check_text(file, options.encoding)
        lines = _head_lines(file, options.encoding)
    known = sum(line.split(" ", 1)[0] in labels for line in lines)
    return bool(lines) and known >= 0.9 * len(lines)


def separator_line(line: str) -> str | None:
    """The separator that a first line like Excel's `sep=;` names; `None` for any other line."""
    match = re.fullmatch(r'"?sep=(.)"?', line, re.IGNORECASE)
    return match and match[1]


def sniff(file: OpenFile, options: ReadOptions, *, lines_do: bool = False) -> TableKind:
    """What a table is, by its first bytes.

    Args:
        file: open at its beginning; nothing of its stream is read.
        options: what the user gave: believed, unless the separator is nowhere in the file.
        lines_do: whether plain lines are welcome, so that an unknown ending is no fault.

    Raises:
        DataError: text in another encoding, a file that is no table, or an unknown ending without
            columns.
    """
    given = options.format
    expected = given or _ENDINGS.get(ending_of(file.name))
    if file.head.startswith(b"PAR1") and given in (None, "parquet"):
        return TableKind("parquet")
    if file.head.startswith(b"ARROW1") and given is None:
        return TableKind("arrow")
    if expected in ("parquet", "arrow") and not _may_be_text(file.head):
        return TableKind(expected)
    check_text(file, options.encoding)
    lines = _head_lines(file, options.encoding)
    if given in (None, "jsonl") and (found := _json(lines, file, expected == "jsonl")) is not None:
        return TableKind(found)
    if given in ("jsonl", "parquet"):
        return TableKind(given)
    if given == "fasttext" or (given is None and _is_fasttext(lines, options)):
        return TableKind("fasttext")
    known = expected is not None or options.separator is not None
    if not (known or lines_do) and _count(lines, "\t") < 2:
        raise DataError(
            f"unknown kind of file {ending_of(file.name)!r}",
            path=file.name,
            remedy="known are .tsv, .csv, .jsonl and .parquet; or say format='tsv' (--format tsv)",
        )
    return _delimited(lines, file, options, "csv" if expected == "csv" else "tsv")


def _may_be_text(head: bytes) -> bool:
    return bool(head) and b"\0" not in head


def _head_lines(file: OpenFile, encoding: str) -> list[str]:
    """The first whole lines that are not blank."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    lines = decoder.decode(file.head).removeprefix("\ufeff").split("\n")
    if not file.whole and len(lines) > 1:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines[:_LINES]]
    return [line for line in lines if line.strip()]


def _json(lines: Sequence[str], file: OpenFile, expected: bool) -> Content | None:
    """JSON lines, one JSON document, or neither.

    Args:
        lines: the first ones.
        file: tells whether they are all.
        expected: whether the name or the user says that it is JSON.
    """
    first = lines[0].lstrip() if lines else ""
    second = lines[1].lstrip() if len(lines) > 1 else ""
    if first.startswith("["):
        if not expected and not re.match(r'\[\s*(\{\s*("|\})|$)', first):
            return None
        if not expected and first == "[" and not second.startswith("{"):
            return None
        return "jsonl" if second.startswith("[") else "json"
    if not first.startswith("{"):
        return "jsonl" if expected else None
    record = _parsed(first)
    if isinstance(record, dict):
        if file.whole and len(lines) == 1 and ending_of(file.name) == ".json":
            return "json" if any(map(_is_nested, record.values())) else "jsonl"
        return "jsonl"
    if not expected:
        return None
    return "jsonl" if second.startswith("{") else "json"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_fasttext(lines: Sequence[str], options: ReadOptions) -> bool:
    given = options.separator not in (None, " ")
    return bool(lines) and not given and all(line.startswith(LABEL_PREFIX) for line in lines)


def _delimited(
    lines: list[str], file: OpenFile, options: ReadOptions, kind: Literal["tsv", "csv"]
) -> TableKind:
    """Separator and quotes of lines of text."""
    named = separator_line(lines[0]) if lines else None
    usual = {"tsv": "\t", "csv": ","}[kind]
    if named is not None:
        lines = lines[1:]
    found = TableKind(kind, options.separator or named or usual, names_separator=named is not None)
    if not lines:
        return found
    if options.separator is None and named is None:
        found = _separated(found, lines, file, given=options.format is not None)
    elif not any(found.separator in line for line in lines):
        other = _separated(replace(found, separator=usual), lines, file, given=True)
        if _width(_rows(lines, other.separator, None, whole=file.whole)) > 1:
            note = f"no {found.separator!r} in it: columns are separated by {other.separator!r}"
            found = replace(other, note=note)
    found = replace(found, columns=_count(lines, found.separator))
    if options.escape is not None:
        return replace(found, content="csv", escape=options.escape)
    if found.content == "csv":
        return _escaped(found, lines, file)
    return found if options.format == "tsv" else _quoted(found, lines, file)


def _separated(kind: TableKind, lines: list[str], file: OpenFile, *, given: bool) -> TableKind:
    """The usual separator, or the one that splits all lines alike where the usual one does not.

    Where the name does not promise a table of this kind, a line of usual column names must.
    """
    usual = _width(_rows(lines, kind.separator, None, whole=file.whole))
    if usual > 1 or (kind.content == "tsv" and kind.separator in lines[0]) or len(lines) < 2:
        return kind
    for separator in (";", "\t", "|", ","):
        if separator == kind.separator:
            continue
        rows = _rows(lines, separator, None, whole=file.whole)
        count = _width(rows)
        if count > 1 and (kind.content == "csv" or _has_usual_names(rows[0])):
            content: Content = "tsv" if given and kind.content == "tsv" else "csv"
            note = f"columns are separated by {separator!r}"
            return replace(kind, content=content, separator=separator, columns=count, note=note)
    return kind


def _has_usual_names(cells: Sequence[str]) -> bool:
    usual = {name for names in USUAL_NAMES.values() for name in names}
    return any(cell.strip().lower() in usual for cell in cells)


def _escaped(kind: TableKind, lines: list[str], file: OpenFile) -> TableKind:
    r"""CSV as it is, or with `\"` for a quote, as MySQL, Spark and Hive write it."""
    if not any('\\"' in line for line in lines):
        return kind
    doubled = _width(_rows(lines, kind.separator, None, whole=file.whole))
    escaped = _width(_rows(lines, kind.separator, "\\", whole=file.whole))
    if doubled > 1 or escaped < 2:
        return kind
    note = r"quotes inside cells are written \" in it"
    return replace(kind, escape="\\", columns=escaped, note=note)


def _quoted(kind: TableKind, lines: list[str], file: OpenFile) -> TableKind:
    """A table of plain characters, or one whose cells pandas or Excel have put in quotes.

    A quote is a plain character unless reading it as one breaks the table, or cells double their
    quotes, or every cell of the first line is in quotes.
    """
    if len(kind.separator) > 1 or kind.separator == " " or not any('"' in line for line in lines):
        return kind
    count = _width(_rows(lines, kind.separator, None, whole=file.whole))
    if count < 2:
        escaped = _escaped(kind, lines, file)
        quoted = any(part.startswith('"') for line in lines for part in line.split(kind.separator))
        return replace(escaped, content="csv") if escaped.escape and quoted else kind
    cell = rf'(?:^|{re.escape(kind.separator)})"[^"]*""[^"]*(?:""[^"]*)*"(?={re.escape(kind.separator)}|$)'
    first = lines[0].split(kind.separator)
    broken = kind.columns != count
    all_quoted = all(len(c) > 1 and c[0] == c[-1] == '"' for c in first)
    if broken or all_quoted or any(re.search(cell, line) for line in lines):
        note = "cells are in quotes, as pandas and Excel write them"
        return replace(kind, content="csv", columns=count, note=note)
    return kind


def _rows(lines: list[str], separator: str, escape: str | None, *, whole: bool) -> list[list[str]]:
    """The rows of lines as CSV; empty if they are none."""
    csv.field_size_limit(2**31 - 1)
    if len(separator) > 1:
        return [line.split(separator) for line in lines]
    rows: list[list[str]] = []
    try:
        reader = csv.reader(
            (line + "\n" for line in lines),
            delimiter=separator,
            strict=True,
            escapechar=escape,
            doublequote=escape is None,
        )
        rows.extend(row for row in reader if row)
    except csv.Error as error:
        cut = not whole or len(lines) == _LINES  # the last row may go on beyond the head
        return rows if cut and "unexpected end" in str(error) else []
    return rows


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Number of columns if at least two rows all have as many, else 0."""
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 and len(rows) > 1 else 0


def _count(lines: Sequence[str], separator: str) -> int:
    """Number of columns if at least two lines, split as they are, all have as many, else 0."""
    widths = {line.count(separator) + 1 for line in lines}
    return widths.pop() if len(widths) == 1 and len(lines) > 1 else 0
