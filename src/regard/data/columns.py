"""Find the columns of a table: as named by the user, by usual names, or by their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, get_args

from regard.choices import RareLabels
from regard.data.headers import USUAL_NAMES, USUAL_PAIRS, names_languages
from regard.data.lines import LINE_FEEDS
from regard.errors import DataError, SettingsError, nearest

__all__ = [
    "Column",
    "Columns",
    "Labelled",
    "Layout",
    "Pairs",
    "Texts",
    "choose_cells",
    "choose_fields",
]

Column: TypeAlias = str | int
"""A column by its name, or by its number counted from 1; `a.b` is the field `b` of the field `a`."""

Columns: TypeAlias = Column | Sequence[Column]
"""One column or several; a string may name several with commas between them."""


@dataclass(frozen=True)
class Labelled:
    """A table with a column of texts and a column of labels.

    Args:
        text: the texts; `None` looks for a usual name (`text`, `sentence`, `review`, ...), and in a
            table of two columns without names takes the one that is not the labels. Several columns
            are read as one text, with ` | ` between its parts; two as a pair, which a pretrained model takes
            apart.
        label: the labels; `None` looks for a usual name (`label`, `class`, ...), or takes the column with
            fewer different values. Several columns of 0 and 1 are several labels, by the names of
            the columns; several of other values are as many labels.
        separator: between several labels of one text, for instance `"|"`; a JSON list
            needs none.
        rare: treatment of labels that occur once in training, see `check_labels`.
        pairs: whether to look for two columns of texts first, by usual names of pairs (`premise` and
            `hypothesis`, `sentence1` and `sentence2`, ...).
    """

    text: Columns | None = None
    label: Columns | None = None
    separator: str | None = None
    rare: RareLabels = "error"
    pairs: bool = False

    def __post_init__(self) -> None:
        if self.rare not in get_args(RareLabels):
            raise SettingsError(
                f"unknown rare={self.rare!r}; {nearest(self.rare, get_args(RareLabels))}"
            )

    @property
    def roles(self) -> dict[str, Columns | None]:
        """The columns to find, by role; the text first."""
        return {"text": self.text, "label": self.label}


@dataclass(frozen=True)
class Pairs:
    """A table with a column of source texts and a column of target texts.

    Args:
        source: the texts, or lists of sentences; `None` looks for a usual name (`source`,
            `document`, ...), and in a table of two columns without names takes the first. Several columns
            are read as one text, with ` | ` between its parts.
        target: one correct text, or a list of them; `None` looks for a usual name (`target`,
            `summary`, ...), or takes the second column. Several columns are several correct texts.
    """

    source: Columns | None = None
    target: Columns | None = None

    @property
    def roles(self) -> dict[str, Columns | None]:
        """The columns to find, by role; the text first."""
        return {"source": self.source, "target": self.target}


@dataclass(frozen=True)
class Texts:
    """A table with a column of texts, and whatever else.

    Args:
        text: the texts; `None` looks for a usual name (`text`, `sentence`, `source`, ...), or takes the
            only column. Several columns are read as one text, with ` | ` between its parts.
        trained: the column that a model was trained on: taken where the table has it.
        labels: names of labels, if known: a column of these is not the texts.
        pairs: see `Labelled`.
    """

    text: Columns | None = None
    trained: Columns | None = None
    labels: tuple[str, ...] = ()
    pairs: bool = False

    @property
    def roles(self) -> dict[str, Columns | None]:
        """The column to find, by role."""
        return {"text": self.text}


_OPTIONS = {"text": "--source", "label": "--target", "source": "--source", "target": "--target"}


@dataclass(frozen=True)
class Layout:
    """Where the columns of a table are.

    Args:
        text: of the text: positions in a row counted from 0, or names of fields.
        other: of the labels or targets; empty if there are none to read.
        names: of all columns, or their numbers counted from 1 where they have no names.
        header: true if the first row holds names.
        guessed: true if the values decided, not names.
        pair: true if two columns were taken for the text by usual names of pairs.
    """

    text: tuple[Any, ...]
    other: tuple[Any, ...]
    names: tuple[str, ...]
    header: bool = False
    guessed: bool = False
    pair: bool = False


def choose_cells(
    columns: Labelled | Pairs | Texts, head: Sequence[list[str]], path: str | None
) -> Layout:
    """Find the columns in a table without fixed names.

    Args:
        columns: the roles to find.
        head: the first rows, none of them blank.
        path: for the error.

    Raises:
        DataError: a column is missing (the message names those present) or ambiguous.
    """
    first = [cell.strip() for cell in head[0]]
    named = _with_usual_pair(columns, first)
    layout = _cells_layout(named, head, first, path)
    return replace(layout, pair=named is not columns)


def _with_usual_pair(
    columns: Labelled | Pairs | Texts, names: Sequence[str]
) -> Labelled | Pairs | Texts:
    """The columns with a usual pair of names for the text, where a pair is looked for and both are there."""
    if isinstance(columns, Pairs) or not columns.pairs or columns.text is not None:
        return columns
    by_letters = {name.lower(): name for name in names}
    usual = next((pair for pair in USUAL_PAIRS if {*pair} <= by_letters.keys()), None)
    return columns if usual is None else replace(columns, text=[by_letters[n] for n in usual])


def _cells_layout(
    columns: Labelled | Pairs | Texts,
    head: Sequence[list[str]],
    first: Sequence[str],
    path: str | None,
) -> Layout:
    if isinstance(columns, Texts):
        return _texts_layout(columns, head, path)
    found = {
        role: _find_columns(role, column, first, path) for role, column in columns.roles.items()
    }
    numbers = tuple(str(index + 1) for index in range(len(first)))
    missing = [role for role, indices in found.items() if indices is None]
    if missing and len(first) != 2:
        raise _unclear(columns, first, path)
    if len(missing) == 2:
        keys = _by_values(columns, head)
        header = isinstance(columns, Pairs) and names_languages(head)
        names = tuple(first) if header else numbers
        return Layout((keys[0],), (keys[1],), names, header=header, guessed=True)
    if missing:
        known = [index for indices in found.values() for index in indices or ()]
        if len(known) > 1:
            raise _unclear(columns, first, path)
        found[missing[0]] = (1 - known[0],)
    text, other = (indices for indices in found.values() if indices is not None)
    if {*text} & {*other}:
        raise _unclear(columns, first, path)
    header = _is_header(columns, first, (text, other))
    return Layout(text, other, tuple(first) if header else numbers, header)


def _texts_layout(columns: Texts, head: Sequence[list[str]], path: str | None) -> Layout:
    """The column of texts: the named one, or the only one that does not hold labels."""
    first = [cell.strip() for cell in head[0]]
    columns = _as_trained(columns, first, by_number=len(first) > 1)
    text = _find_columns("text", columns.text, first, path)
    numbers = tuple(str(index + 1) for index in range(len(first)))
    if text is None:
        rows = [row for row in head if len(row) == len(first)]
        left = [
            index
            for index in range(len(first))
            if sum(row[index].strip() in columns.labels for row in rows) < 0.9 * len(rows)
        ]
        if len(left) != 1:
            raise _unclear(columns, first, path)
        others = [first[index] for index in range(len(first)) if index != left[0]]
        header = len(rows) > 1 and bool(others) and not {*others} & {*columns.labels}
        return Layout((left[0],), (), tuple(first) if header else numbers, header, guessed=True)
    header = _is_header(columns, first, (text,))
    return Layout(text, (), tuple(first) if header else numbers, header)


def _as_trained(columns: Texts, names: Sequence[str], *, by_number: bool) -> Texts:
    """With the column that the model was trained on, if it is there and no other one is named."""
    if columns.text is not None or columns.trained is None:
        return columns
    numbers = [str(number + 1) for number in range(len(names))] if by_number else []
    there = all(str(part) in [*names, *numbers] for part in _parts(columns.trained, names))
    return replace(columns, text=columns.trained) if there else columns


def _by_values(columns: Labelled | Pairs, head: Sequence[list[str]]) -> tuple[int, int]:
    """Decide between two columns by their values: labels repeat more; a source comes first."""
    if isinstance(columns, Pairs):
        return 0, 1
    first, second = (len({row[i] for row in head if len(row) == 2}) for i in (0, 1))
    return (0, 1) if second <= first else (1, 0)


def _is_header(
    columns: Labelled | Pairs | Texts, first: Sequence[str], keys: tuple[tuple[int, ...], ...]
) -> bool:
    """True if the first row holds names, once the columns are known."""
    roles = columns.roles
    given = [part for column in roles.values() for part in _parts(column, first)]
    if any(_number(part) is None for part in given):
        return True
    usual = [
        all(first[key].lower() in USUAL_NAMES[role] for key in indices)
        for role, indices in zip(roles, keys, strict=True)
    ]
    # A number says nothing about the first row; then both cells must look like names.
    return all(usual) or (any(usual) and not given)


def choose_fields(
    columns: Labelled | Pairs | Texts, head: Sequence[Mapping[str, Any]], path: str | None
) -> Layout:
    """Find the fields among the names of the first records."""
    names = _field_names(head)
    requested = columns
    columns = _with_usual_pair(columns, names)
    pair = columns is not requested
    if isinstance(columns, Texts):
        columns = _as_trained(columns, names, by_number=False)
    chosen: list[tuple[str, ...]] = []
    for role, column in columns.roles.items():
        if column is None:
            usual = [name for name in names if name.lower() in USUAL_NAMES[role]]
            usual.sort(key=lambda name: USUAL_NAMES[role].index(name.lower()))
            only = names if isinstance(columns, Texts) and len(names) == 1 else []
            if not (usual or only):
                raise _unclear(columns, names, path, by_number=False)
            chosen.append(((usual or only)[0],))
            continue
        parts = tuple(map(str, _parts(column, names)))
        for part in parts:
            if part not in names:
                close = nearest(part, names)  # fields have names and no numbers
                remedy = close if close.startswith("did") else "give the name of one of them"
                problem = f"no column {part!r}; there are {_shown(_leaves(names))}"
                raise DataError(problem, path=path, line=1, remedy=remedy)
        chosen.append(parts)
    return Layout(chosen[0], chosen[1] if len(chosen) > 1 else (), tuple(names), pair=pair)


def _field_names(head: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the fields of some records, and of the texts inside fields as `a.b`."""
    names: dict[str, None] = {}
    for record in head:
        for name, value in record.items():
            names.setdefault(name)
            if isinstance(value, dict):
                names.update(dict.fromkeys(f"{name}.{inner}" for inner in _field_names([value])))
    return list(names)


def _leaves(names: Sequence[str]) -> list[str]:
    """Names without those of fields that hold others."""
    return [name for name in names if not any(other.startswith(f"{name}.") for other in names)]


def _parts(column: Columns | None, names: Sequence[str]) -> tuple[Column, ...]:
    """The single columns that one value of an option names."""
    if column is None:
        return ()
    if isinstance(column, str):
        if column in names or "," not in column:
            return (column,)
        return tuple(part.strip() for part in column.split(","))
    return (column,) if isinstance(column, int) else tuple(column)


def _find_columns(
    role: str, column: Columns | None, first: Sequence[str], path: str | None
) -> tuple[int, ...] | None:
    """The positions of the cells for `role`, or `None` if nothing decides."""
    if column is None:
        lower = [name.lower() for name in first]
        index = next((lower.index(name) for name in USUAL_NAMES[role] if name in lower), None)
        return None if index is None else (index,)
    return tuple(_find_column(part, first, path) for part in _parts(column, first))


def _find_column(column: Column, first: Sequence[str], path: str | None) -> int:
    """The position of one column that the user named."""
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


def _missing(column: Column, names: Sequence[str], path: str | None) -> DataError:
    close = nearest(str(column), names)
    return DataError(
        f"no column {column!r}; there are {_shown(names)}",
        path=path,
        line=1,
        remedy=close
        if close.startswith("did")
        else "if these are no names, give the number of the column, counted from 1",
    )


def _unclear(
    columns: Labelled | Pairs | Texts,
    names: Sequence[str],
    path: str | None,
    *,
    by_number: bool = True,
) -> DataError:
    roles = list(columns.roles)
    if any("\r" in name for name in names):
        problem = f"a carriage return inside the first line ({_shown(names)})"
        return DataError(problem, path=path, line=1, remedy=LINE_FEEDS)
    if len(names) == 1 and len(roles) == 2 and by_number:
        likely = next((sign for sign in "\t;|, " if sign in names[0]), "\t")
        return DataError(
            f"one column ({_shown(names)}), expected two: {' and '.join(roles)}",
            path=path,
            line=1,
            remedy=f"what separates them? Perhaps separator={likely!r} (--separator)",
        )
    say = " and ".join(f"{role}=" for role in roles)
    options = " and ".join(_OPTIONS[role] for role in roles)
    question = ", which the ".join(roles)
    return DataError(
        f"which column is the {question}? There are {_shown(_leaves(names))}",
        path=path,
        line=1,
        remedy=f"say {say} ({options}), by name"
        + (" or by number counted from 1" if by_number else "")
        + (
            "; two columns of text that the model reads as a pair: a,b"
            if not isinstance(columns, Pairs) and columns.pairs
            else ""
        ),
    )


def _shown(names: Sequence[str]) -> str:
    """Column names for a message; long ones are shortened, since the first row may be text."""
    return ", ".join(repr(name if len(name) <= 30 else name[:27] + "...") for name in names[:20])
