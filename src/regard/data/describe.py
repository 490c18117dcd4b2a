"""What a data file is, before anything is trained: its content, columns, labels, lengths and repetitions."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from regard.data.corpus import Corpus, Example
from regard.data.formats import delimited, records
from regard.data.headers import header_like
from regard.data.labels import labels_of
from regard.data.lines import wide_without_mark
from regard.data.options import ReadOptions
from regard.data.sniff import TableKind, has_table_ending, sniff
from regard.data.streams import opened
from regard.data.values import are_flags, canonical

__all__ = [
    "ColumnFacts",
    "FileFacts",
    "PartFacts",
    "describe_file",
    "describe_part",
    "guess_columns",
    "guess_encoding",
    "joined_by",
    "near_twins",
    "overlaps",
]

_HEAD = 1000
_EXAMPLES = 3
_MOST_LABELS = 1000


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table.

    Attributes:
        name: in the header or record, or its number counted from 1.
        examples: its first values.
        characters: mean length of its first values.
        distinct: share of the first values that differ from each other.
        flags: true if they are 0 and 1.
    """

    name: str
    examples: tuple[str, ...]
    characters: float
    distinct: float
    flags: bool


@dataclass(frozen=True)
class FileFacts:
    """What a file is by its content.

    Attributes:
        path: as given.
        content: `"tsv"`, `"csv"`, `"jsonl"`, `"json"`, `"parquet"`, `"arrow"`, `"fasttext"`, `"folder"`, or
            `"lines"` of plain text.
        packing: how it is packed, such as `"gzip"`; empty if it is not.
        encoding: of its text; empty for binary formats.
        separator: between columns; empty where nothing is separated.
        size: in bytes, as it is on the disk; `None` for a folder.
        header: true if its first line looks like names of columns, `None` where it cannot have any.
        columns: of a table.
        note: where the content decided otherwise than the name.
    """

    path: str
    content: str
    packing: str = ""
    encoding: str = ""
    separator: str = ""
    size: int | None = None
    header: bool | None = None
    columns: tuple[ColumnFacts, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PartFacts:
    """The examples of one part, such as the training or the test part.

    Attributes:
        files: their names.
        lines: read.
        examples: made from them.
        skipped: reason -> number of lines that are left out, and the first of them as `file:line`.
        labels: label -> number of examples, the most frequent first.
        near_twins: pairs of labels that may be one, such as `Good` and `good`.
        characters: least, median, 95th percentile and largest length of the texts.
        target_characters: the same of the targets.
        duplicates: number of examples whose text came before in the part.
        contradictions: number of texts that come with different labels or targets.
        overlap: other part -> number of examples whose text is in it, too.
    """

    files: tuple[str, ...]
    lines: int
    examples: int
    skipped: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    near_twins: tuple[tuple[str, str], ...] = ()
    characters: tuple[int, int, int, int] = (0, 0, 0, 0)
    target_characters: tuple[int, int, int, int] | None = None
    duplicates: int = 0
    contradictions: int = 0
    overlap: Mapping[str, int] = field(default_factory=dict)


def describe_file(path: str, options: ReadOptions) -> FileFacts:
    """What a file is, by its first lines.

    Args:
        path: of a file or a folder.
        options: what the user says about it.

    Raises:
        DataError: it cannot be read at all.
    """
    if Path(path).is_dir():
        return FileFacts(path, "folder", encoding=options.encoding)
    with opened(path) as file:
        kind = sniff(file, options, lines_do=True)
        size = Path(path).stat().st_size if Path(path).is_file() else None
        binary = kind.content in ("parquet", "arrow")
        content = "lines" if _is_plain(kind, path, options) else kind.content
        facts = FileFacts(
            path,
            content,
            packing=file.packing,
            encoding="" if binary else options.encoding,
            separator=kind.separator if content in ("tsv", "csv") else "",
            size=size,
            note=kind.note,
        )
        if content == "lines":
            return facts
        rows, header = _first_rows(file, kind, options)
    columns = tuple(_column(name, [row.get(name) for row in rows]) for name in _names(rows))
    return replace(facts, header=header, columns=columns)


def _is_plain(kind: TableKind, path: str, options: ReadOptions) -> bool:
    """True if nothing makes a table of a file: its lines are texts."""
    given = options.format is not None or options.separator is not None
    plain = kind.content in ("tsv", "csv") and kind.columns < 2
    return plain and not given and not has_table_ending(path)


def _first_rows(
    file: Any, kind: TableKind, options: ReadOptions
) -> tuple[list[dict[str, Any]], bool | None]:
    """The first rows as records, and whether a header names their columns."""
    if kind.content not in ("tsv", "csv"):
        found = islice(records(file, kind, options), _HEAD)
        return [_flat(record) for _, record in found if record], None
    cells = [row for _, row in islice(delimited(file, kind, options), _HEAD) if row]
    header = header_like(cells)
    names = [cell.strip() for cell in cells[0]] if header else []
    rows = cells[1:] if header else cells
    width = len(cells[0]) if cells else 0
    names = names or [str(number + 1) for number in range(width)]
    return [dict(zip(names, row, strict=False)) for row in rows], header


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose fields of texts inside fields are named `a.b`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and not are_flags(list(value.values())):
            flat |= {f"{name}.{inner}": v for inner, v in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _column(name: str, values: Sequence[Any]) -> ColumnFacts:
    filled = [value for value in values if value is not None and value != ""]
    shown = [v if isinstance(v, str) else " ".join(v) if _is_texts(v) else repr(v) for v in filled]
    return ColumnFacts(
        name,
        tuple(shown[:_EXAMPLES]),
        round(float(np.mean([len(text) for text in shown])), 1) if shown else 0.0,
        round(len({*shown}) / len(shown), 3) if shown else 0.0,
        bool(filled) and are_flags(values),
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def guess_columns(columns: Sequence[ColumnFacts]) -> dict[str, str]:
    """Columns of a table as the options name them, judged by their values.

    The longest column holds the texts. Labels repeat themselves; columns of 0 and 1 are labels together. Where
    nothing repeats itself, the first two columns of differing texts are source and target.

    Returns:
        `{"source": ..., "target": ...}`, `{"source": ...}` alone, or nothing.
    """
    long = [column for column in columns if column.characters > 3 and not column.flags]
    texts = [column for column in long if column.distinct > 0.2] or long
    if not texts:
        return {}
    text = max(texts, key=lambda column: column.characters)
    flags = [column.name for column in columns if column.flags]
    if len(flags) > 1:
        return {"source": text.name, "target": ",".join(flags)}
    labels = [c for c in columns if c is not text and 0 < c.distinct <= 0.5 and c.characters < 60]
    if labels:
        label = min(labels, key=lambda column: (column.distinct, column.characters))
        return {"source": text.name, "target": label.name}
    if len(texts) > 1:
        return {"source": texts[0].name, "target": texts[1].name}
    return {"source": text.name}


def guess_encoding(path: str) -> str:
    """Encoding of a text file by its first bytes: UTF-8 and UTF-16 are certain, any other is a guess."""
    if Path(path).is_dir() or not Path(path).is_file():
        return "utf-8"
    with opened(path) as file:
        head = file.head
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        head[: len(head) - 4 * (len(head) > 4)].decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 8:
            return _legacy_encoding(head)
    return wide_without_mark(head) or "utf-8"


def _legacy_encoding(head: bytes) -> str:
    """A guess at the encoding of bytes that are not UTF-8."""
    if sum(byte > 127 for byte in head) > 100:
        try:
            from charset_normalizer import from_bytes
        except ImportError:
            return "latin-1"
        best = from_bytes(head[:65536]).best()
        if best is not None:
            return best.encoding
    return "cp1252" if any(0x80 <= byte < 0xA0 for byte in head) else "latin-1"


def describe_part(examples: Sequence[Example], files: Sequence[str]) -> PartFacts:
    """Labels, lengths and repetitions of the examples of a part.

    Args:
        examples: all of them; read once.
        files: their names.
    """
    counts = Counter(label for labels in labels_of(examples) for label in labels)
    seen: dict[int, set[Any]] = {}
    lengths, targets = [], []
    for example in examples:
        answers = seen.setdefault(hash(example.text), set())
        answers.add((example.target, frozenset(example.labels)))
        lengths.append(len(example.text))
        if example.target is not None:
            targets.append(len(example.target))
    report = examples.report if isinstance(examples, Corpus) else None
    skipped = {} if report is None else report.skipped
    return PartFacts(
        tuple(files),
        len(examples) if report is None else report.lines,
        len(examples),
        {reason: (n, _place(report, reason)) for reason, n in skipped.items()},
        dict(counts.most_common()),
        near_twins(list(counts)),
        _spread(lengths),
        _spread(targets) if targets else None,
        len(lengths) - len(seen),
        sum(len(answers) > 1 for answers in seen.values()),
    )


def _place(report: Any, reason: str) -> str:
    return "{}:{}".format(*report.first[reason])


def _spread(lengths: Sequence[int]) -> tuple[int, int, int, int]:
    least, median, most, largest = np.percentile(lengths, [0, 50, 95, 100]).round().astype(int)
    return int(least), int(median), int(most), int(largest)


def near_twins(labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of labels that differ in case, in how a number is written, or by a letter in a long word."""
    if len(labels) > _MOST_LABELS:
        return ()
    return tuple(pair for pair in combinations(sorted(labels), 2) if _are_twins(*pair))


def joined_by(labels: Mapping[str, int]) -> str | None:
    """The sign between several labels in one cell, if parts of some labels come again in others."""
    for sign in ("|", ";", ","):
        joined = [label for label in labels if sign in label]
        parts = Counter(part.strip() for label in labels for part in label.split(sign))
        again = sum(all(parts[p.strip()] > 1 for p in label.split(sign)) for label in joined)
        if joined and again > len(joined) / 2:
            return sign
    return None


def _are_twins(first: str, second: str) -> bool:
    if canonical(first.casefold()) == canonical(second.casefold()):
        return True
    if min(len(first), len(second)) < 5 or abs(len(first) - len(second)) > 1:
        return False
    if any(character.isdecimal() for character in first + second):
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= 0.85


def overlaps(parts: Sequence[Sequence[Example]]) -> list[list[int]]:
    """Number of examples of each part (rows) whose text is in each other part (columns)."""
    texts = [{hash(example.text) for example in part} for part in parts]
    return [[sum(hash(e.text) in other for e in part) for other in texts] for part in parts]
