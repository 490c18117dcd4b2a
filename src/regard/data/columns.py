"""Find the columns of a table: as named by the user, by usual names, or by their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from regard.choices import RareLabels
from regard.data.lines import LINE_FEEDS
from regard.errors import DataError, SettingsError, nearest

__all__ = ["Column", "Labelled", "Pairs", "TableLayout", "choose_cells", "choose_fields"]

Column = str | int
"""A column by its name, or by its number counted from 1."""


@dataclass(frozen=True)
class Labelled:
    """A table with a column of texts and a column of labels.

    Args:
        text: the texts; `None` looks for a usual name (`text`, `sentence`, `review`, ...), and in a
            table of two columns without names takes the one that is not the labels.
        label: the labels; `None` looks for a usual name (`label`, `class`, ...), or takes the column with
            fewer different values.
        separator: between several labels of one text, for instance `"|"`; a JSON list
            needs none.
        rare: treatment of labels that occur once in training, see `check_labels`.
    """

    text: Column | None = None
    label: Column | None = None
    separator: str | None = None
    rare: RareLabels = "error"

    def __post_init__(self) -> None:
        if self.rare not in get_args(RareLabels):
            raise SettingsError(
                f"unknown rare={self.rare!r}; {nearest(self.rare, get_args(RareLabels))}"
            )

    @property
    def roles(self) -> dict[str, Column | None]:
        """The columns to find, by role; the text first."""
        return {"text": self.text, "label": self.label}


@dataclass(frozen=True)
class Pairs:
    """A table with a column of source texts and a column of target texts.

    Args:
        source: the texts, or lists of sentences; `None` looks for a usual name (`source`,
            `document`, ...), and in a table of two columns without names takes the first.
        target: one correct text, or a list of them; `None` looks for a usual name (`target`,
            `summary`, ...), or takes the second column.
    """

    source: Column | None = None
    target: Column | None = None

    @property
    def roles(self) -> dict[str, Column | None]:
        """The columns to find, by role; the text first."""
        return {"source": self.source, "target": self.target}


USUAL_NAMES = {
    "text": ["text", "sentence", "review", "document", "content", "body", "question", "source"],
    "label": ["label", "labels", "class", "category", "sentiment", "topic", "intent", "rating"],
    "source": ["source", "src", "document", "article", "text", "content", "body"],
    "target": ["target", "tgt", "summary", "highlights", "translation"],
}


@dataclass(frozen=True)
class TableLayout:
    """Position of the two columns in a row, counted from 0.

    Args:
        keys: of the text and of the other column.
        header: true if the first row holds names.
        guessed: true if the values decided, not names.
    """

    keys: tuple[int, int]
    header: bool
    guessed: bool = False


def choose_cells(columns: Labelled | Pairs, head: Sequence[list[str]], path: str) -> TableLayout:
    """Find the columns in a table without fixed names.

    Args:
        columns: the roles to find.
        head: the first rows, none of them blank.
        path: for the error.

    Raises:
        DataError: a column is missing (the message names those present) or ambiguous.
    """
    first = [cell.strip() for cell in head[0]]
    found = {
        role: _find_column(role, column, first, path) for role, column in columns.roles.items()
    }
    missing = [role for role, index in found.items() if index is None]
    if missing and len(first) != 2:
        raise _unclear(columns, first, path)
    if len(missing) == 2:
        return TableLayout(_by_values(columns, head), header=False, guessed=True)
    if missing:
        (known,) = (index for index in found.values() if index is not None)
        found[missing[0]] = 1 - known
    text, other = (index for index in found.values() if index is not None)
    if text == other:
        raise _unclear(columns, first, path)
    return TableLayout((text, other), header=_is_header(columns, first, (text, other)))


def _by_values(columns: Labelled | Pairs, head: Sequence[list[str]]) -> tuple[int, int]:
    """Decide between two columns by their values: labels repeat more; a source comes first."""
    if isinstance(columns, Pairs):
        return 0, 1
    first, second = (len({row[i] for row in head if len(row) == 2}) for i in (0, 1))
    return (0, 1) if second <= first else (1, 0)


def _is_header(columns: Labelled | Pairs, first: Sequence[str], keys: tuple[int, int]) -> bool:
    """True if the first row holds names, once the columns are known."""
    roles = columns.roles
    if any(_number(column) is None for column in roles.values() if column is not None):
        return True
    usual = [first[key].lower() in USUAL_NAMES[role] for role, key in zip(roles, keys, strict=True)]
    # A number says nothing about the first row; then both cells must look like names.
    return all(usual) or (any(usual) and not any(roles.values()))


def choose_fields(columns: Labelled | Pairs, names: Sequence[str], path: str) -> tuple[str, str]:
    """Find the two fields among the names of a record."""
    chosen = []
    for role, column in columns.roles.items():
        if column is None:
            usual = [name for name in names if name.lower() in USUAL_NAMES[role]]
            usual.sort(key=lambda name: USUAL_NAMES[role].index(name.lower()))
            column = usual[0] if usual else None
        elif column not in names:
            close = nearest(str(column), names)  # fields have names and no numbers
            remedy = close if close.startswith("did") else "give the name of one of them"
            problem = f"no column {column!r}; there are {_shown(names)}"
            raise DataError(problem, path=path, line=1, remedy=remedy)
        if column is None:
            first, second = columns.roles
            raise DataError(
                f"which column is the {first}, which the {second}? There are {_shown(names)}",
                path=path,
                line=1,
                remedy=f"say {first}= and {second}= (--source and --target), by name",
            )
        chosen.append(str(column))
    return chosen[0], chosen[1]


def _find_column(role: str, column: Column | None, first: Sequence[str], path: str) -> int | None:
    """The index of the cell for `role`, or `None` if nothing decides."""
    if column is None:
        lower = [name.lower() for name in first]
        return next((lower.index(name) for name in USUAL_NAMES[role] if name in lower), None)
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
    """The number of a column, or `None` if it is a name; a command line gives both as text."""
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
    roles = list(columns.roles)
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
    """Column names for a message; long ones are shortened, since the first row may be text."""
    return ", ".join(repr(name if len(name) <= 30 else name[:27] + "...") for name in names[:20])
