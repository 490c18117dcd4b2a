"""Which column holds what: as told, by its usual name, or by its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from regard.data.labels import Rare
from regard.data.lines import LINE_FEEDS
from regard.errors import DataError, SettingsError, nearest

__all__ = ["Column", "Labelled", "Layout", "Pairs", "choose_cells", "choose_fields"]

Column = str | int
"""A column by its name, or by its number counted from 1."""


@dataclass(frozen=True)
class Labelled:
    """A table with a column of texts and a column of labels.

    Args:
        text: the texts; `None` looks for a usual name (`text`, `sentence`, `review`, ...), and in a
            table of two columns without names takes the one that is not the labels.
        label: the labels; `None` likewise (`label`, `class`, ...), or the column with fewer
            different values.
        separator: what stands between several labels of one text, for instance `"|"`; a JSON list
            needs none.
        rare: what happens to labels that training sees only once, see `check_labels`.
    """

    text: Column | None = None
    label: Column | None = None
    separator: str | None = None
    rare: Rare = "error"

    def __post_init__(self) -> None:
        if self.rare not in get_args(Rare):
            raise SettingsError(f"unknown rare={self.rare!r}; {nearest(self.rare, get_args(Rare))}")

    @property
    def wanted(self) -> dict[str, Column | None]:
        """What is looked for, the text first."""
        return {"text": self.text, "label": self.label}


@dataclass(frozen=True)
class Pairs:
    """A table with a column of texts and a column of what should come out for them.

    Args:
        source: the texts, or lists of sentences; `None` looks for a usual name (`source`,
            `document`, ...), and in a table of two columns without names takes the first.
        target: one right text, or a list of them; `None` likewise (`target`, `summary`, ...), or
            the second column.
    """

    source: Column | None = None
    target: Column | None = None

    @property
    def wanted(self) -> dict[str, Column | None]:
        """What is looked for, the text first."""
        return {"source": self.source, "target": self.target}


USUAL = {
    "text": ["text", "sentence", "review", "document", "content", "body", "question", "source"],
    "label": ["label", "labels", "class", "category", "sentiment", "topic", "intent", "rating"],
    "source": ["source", "src", "document", "article", "text", "content", "body"],
    "target": ["target", "tgt", "summary", "highlights", "translation"],
}


@dataclass(frozen=True)
class Layout:
    """Where in a row the text and the other column are, counted from 0.

    Args:
        keys: of the text and of the other.
        header: whether the first row holds names.
        guessed: whether the values had to decide.
    """

    keys: tuple[int, int]
    header: bool
    guessed: bool = False


def choose_cells(columns: Labelled | Pairs, head: Sequence[list[str]], path: str) -> Layout:
    """Find the columns in a table without fixed names.

    Args:
        columns: what is wanted.
        head: the first rows, none of them blank.
        path: for the error.

    Raises:
        DataError: a column is missing (names those present), or cannot be told from the others.
    """
    first = [cell.strip() for cell in head[0]]
    found = {role: _place(role, column, first, path) for role, column in columns.wanted.items()}
    missing = [role for role, place in found.items() if place is None]
    if missing and len(first) != 2:
        raise _unclear(columns, first, path)
    if len(missing) == 2:
        return Layout(_by_values(columns, head), header=False, guessed=True)
    if missing:
        (known,) = (place for place in found.values() if place is not None)
        found[missing[0]] = 1 - known
    text, other = (place for place in found.values() if place is not None)
    if text == other:
        raise _unclear(columns, first, path)
    return Layout((text, other), header=_is_header(columns, first, (text, other)))


def _by_values(columns: Labelled | Pairs, head: Sequence[list[str]]) -> tuple[int, int]:
    """Tell two columns apart: of labels there are fewer different ones; a source comes first."""
    if isinstance(columns, Pairs):
        return 0, 1
    first, second = (len({row[i] for row in head if len(row) == 2}) for i in (0, 1))
    return (0, 1) if second <= first else (1, 0)


def _is_header(columns: Labelled | Pairs, first: Sequence[str], keys: tuple[int, int]) -> bool:
    """Whether the first row holds names, given that it was enough to find the columns."""
    wanted = columns.wanted
    if any(_number(column) is None for column in wanted.values() if column is not None):
        return True
    usual = [first[key].lower() in USUAL[role] for role, key in zip(wanted, keys, strict=True)]
    # A number says nothing about the first row; then both cells must look like names.
    return all(usual) or (any(usual) and not any(wanted.values()))


def choose_fields(columns: Labelled | Pairs, names: Sequence[str], path: str) -> tuple[str, str]:
    """Find the columns among the names of a record."""
    chosen = []
    for role, column in columns.wanted.items():
        if column is None:
            usual = [name for name in names if name.lower() in USUAL[role]]
            usual.sort(key=lambda name: USUAL[role].index(name.lower()))
            column = usual[0] if usual else None
        elif column not in names:
            close = nearest(str(column), names)  # fields have names and no numbers
            remedy = close if close.startswith("did") else "give the name of one of them"
            problem = f"no column {column!r}; there are {_shown(names)}"
            raise DataError(problem, path=path, line=1, remedy=remedy)
        if column is None:
            first, second = columns.wanted
            raise DataError(
                f"which column is the {first}, which the {second}? There are {_shown(names)}",
                path=path,
                line=1,
                remedy=f"say {first}= and {second}= (--source and --target), by name",
            )
        chosen.append(str(column))
    return chosen[0], chosen[1]


def _place(role: str, column: Column | None, first: Sequence[str], path: str) -> int | None:
    """Return which cell holds `role`, or `None` if nothing says so."""
    if column is None:
        lower = [name.lower() for name in first]
        return next((lower.index(name) for name in USUAL[role] if name in lower), None)
    number = _number(column)
    if number is None:
        if column not in first:
            raise _missing(column, first, path)
        return first.index(str(column))
    if not 1 <= number <= len(first):
        problem = f"no column {number}: there are {len(first)}, counted from 1"
        raise DataError(problem, path=path, line=1)
    return number - 1


def _number(column: Column) -> int | None:
    """Return the number of a column, or `None` if it is a name; a command line knows only text."""
    if isinstance(column, int):
        return column
    return int(column) if column.isdecimal() else None


def _missing(column: Column, names: Sequence[str], path: str) -> DataError:
    close = nearest(str(column), names)
    return DataError(
        f"no column {column!r}; there are {_shown(names)}",
        path=path,
        line=1,
        remedy=close
        if close.startswith("did")
        else "if these are no names, give the number of the column, counted from 1",
    )


def _unclear(columns: Labelled | Pairs, names: Sequence[str], path: str) -> DataError:
    roles = list(columns.wanted)
    if any("\r" in name for name in names):
        problem = f"a carriage return inside the first line ({_shown(names)})"
        return DataError(problem, path=path, line=1, remedy=LINE_FEEDS)
    if len(names) == 1:
        likely = next((sign for sign in "\t;|, " if sign in names[0]), "\t")
        return DataError(
            f"one column ({_shown(names)}), expected two: {' and '.join(roles)}",
            path=path,
            line=1,
            remedy=f"what separates them? Perhaps separator={likely!r} (--separator)",
        )
    return DataError(
        f"which column is the {roles[0]}, which the {roles[1]}? There are {_shown(names)}",
        path=path,
        line=1,
        remedy=f"say {roles[0]}= and {roles[1]}= (--source and --target), by name or by number "
        "counted from 1",
    )


def _shown(names: Sequence[str]) -> str:
    """Return column names for a message, long ones shortened: the first row may be text."""
    return ", ".join(repr(name if len(name) <= 30 else name[:27] + "...") for name in names[:20])
