"""Errors that `regard` raises, one family.

Every error a user can meet says what was given, what was expected and what to try::

    RegardError
    ├── InputError           an argument does not fit (also a ValueError)
    │   ├── ShapeError       array shapes that do not fit each other
    │   ├── MaskError        a mask of the wrong type or shape
    │   └── SettingsError    an unknown or impossible setting; names the nearest
    ├── DataError            a line of a file that cannot be used: file, line, value, remedy
    ├── ModelFolderError     a folder that holds no model, or a damaged or newer one
    ├── TrainingError        training cannot go on (a loss that is NaN, a full disk)
    ├── ProcessGroupError    another process has ended, or does not answer in time
    └── MissingExtraError    an optional package is absent (also an ImportError)

`assert` states our own invariants; it never checks a user's arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from os import PathLike
from typing import Any

__all__ = [
    "DataError",
    "InputError",
    "MaskError",
    "MissingExtraError",
    "ModelFolderError",
    "ProcessGroupError",
    "RegardError",
    "SettingsError",
    "ShapeError",
    "TrainingError",
    "nearest",
]


class RegardError(Exception):
    """Base of all errors that `regard` raises on purpose."""


class InputError(RegardError, ValueError):
    """An argument has a value that cannot be used."""


class ShapeError(InputError):
    """Array shapes that do not fit each other."""


class MaskError(InputError):
    """A mask of the wrong type or shape."""


class SettingsError(InputError):
    """A setting that does not exist or cannot have this value."""


class DataError(RegardError):
    """A line of a file that cannot be used.

    Args:
        problem: what was found and what was expected.
        path: of the file; `None` for standard input.
        line: its line, counted from 1 as editors do; `None` for the whole file.
        remedy: what to try.

    >>> print(DataError("3 columns, expected 2", path="a.tsv", line=7, remedy="remove the tab"))
    a.tsv:7: 3 columns, expected 2; remove the tab
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem: str = problem
        self.path: str | PathLike[str] | None = path
        self.line: int | None = line
        self.remedy: str | None = remedy
        location = "standard input" if path is None else str(path)
        if line is not None:
            location += f":{line}"
        super().__init__(f"{location}: {problem}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an error is made again from its message alone, in a process that waits for it.
        make = partial(type(self), path=self.path, line=self.line, remedy=self.remedy)
        return make, (self.problem,)


class ModelFolderError(RegardError):
    """A folder that holds no model, a damaged model or one from a newer version."""


class TrainingError(RegardError):
    """Training that cannot continue."""


class ProcessGroupError(RegardError):
    """A process of a group has ended, failed or not answered in time, or holds other arguments."""


class MissingExtraError(RegardError, ImportError):
    """An optional package is not installed.

    Args:
        feature: what the user wanted to use, e.g. `"regard serve"`.
        extra: the extra that installs it, e.g. `"serve"`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature: str = feature
        self.extra: str = extra
        super().__init__(f"{feature} needs an optional part; try: pip install 'regard[{extra}]'")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.feature, self.extra)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the known name closest to `name`, or all known names.

    >>> nearest("droput", ["dropout", "layers"])
    "did you mean 'dropout'?"
    >>> nearest("zzz", ["dropout", "layers"])
    'known: dropout, layers'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
