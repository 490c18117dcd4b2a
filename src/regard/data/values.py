"""Texts and labels in the values of a table: cells, JSON values, rows of Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from regard.data.corpus import Text
from regard.text import PART_SEPARATOR, SentencePair

__all__ = ["LabelSpelling", "canonical", "flag", "labels_in", "text_in"]

_NO_LABEL = ("nan", "NaN", "<NA>", r"\N")
"""Cells that pandas, MySQL and Hive write where there is no value."""

_ON = (1, "1", "1.0", "true", "True", "TRUE")
_OFF = (0, "0", "0.0", "false", "False", "FALSE", "", None)
_HIDDEN = (-1, "-1", "-1.0")


def text_in(values: Sequence[Any]) -> Text:
    """A text, a pair or a tuple of sentences; a missing value is an empty text.

    Args:
        values: of the text's columns. Two are a `SentencePair`, more the parts of one text.
    """
    if len(values) == 1:
        value = values[0]
        return value if isinstance(value, str) else _text(value)
    parts = (_text(value) for value in values)
    texts = [part if isinstance(part, str) else " ".join(part) for part in parts]
    texts = [text.strip() for text in texts]
    if len(texts) == 2:
        return SentencePair(*texts)
    return PART_SEPARATOR.join(filter(None, texts))


def _text(value: Any) -> Text:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN is how pandas writes no value
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise TypeError(f"{_shown(value)} is neither a text nor a list of texts")


def labels_in(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """The labels in a cell or field; `None` if there are none to read.

    Several labels are a list, a cell that holds one (as JSON or as Python writes it), or an object of 0 and
    1 by label.
    """
    if isinstance(value, str):
        return _labels_in_cell(value, separator)
    return _labels_of_value(value)


@lru_cache(4096)  # labels repeat themselves
def _labels_in_cell(cell: str, separator: str | None) -> tuple[str, ...] | None:
    stripped = cell.strip()
    if separator is not None:
        return tuple(part.strip() for part in cell.split(separator) if part.strip())
    if not stripped or stripped in _NO_LABEL:
        return None
    return _labels_of_value(_list_in(stripped)) if stripped[0] in "[{(" else (stripped,)


def _labels_of_value(value: Any) -> tuple[str, ...] | None:
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, dict):
        if not value or not all(flag(part) is not None for part in value.values()):
            raise TypeError(f"{_shown(value)} is not the name of a label, nor 0 and 1 by label")
        return tuple(name for name, part in value.items() if flag(part))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_label(part) for part in value)
    return (_label(value),)


def flag(value: Any) -> bool | None:
    """A value of a column of 0 and 1; `None` for any other value."""
    if isinstance(value, str):
        value = value.strip()
    if value != value:  # NaN
        return False
    if isinstance(value, dict | list):
        return None
    return True if value in _ON else False if value in _OFF else None


def flags_in(values: Sequence[Any], names: Sequence[str]) -> tuple[str, ...] | None:
    """The labels whose columns hold 1; `None` where the labels of a row are hidden, as by -1."""
    found = [flag(value) for value in values]
    if any(value in _HIDDEN for value in values) or all(value in ("", None) for value in values):
        return None
    for value, state, name in zip(values, found, names, strict=True):
        if state is None:
            raise TypeError(f"{_shown(value)} in the column {name!r}, expected 0 or 1")
    return tuple(name for name, state in zip(names, found, strict=True) if state)


def are_flags(values: Sequence[Any]) -> bool:
    """True if values look like those of a column of 0 and 1."""
    return all(flag(value) is not None or value in _HIDDEN for value in values)


_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_PYTHON_LIST = re.compile(rf"[\[{{(]\s*(?:{_ITEM})(?:\s*,?\s*(?:{_ITEM}))*\s*,?\s*[\]}})]")


def _list_in(text: str) -> Any:
    """The list in a cell like `["a", "b"]` or `['a', 'b']`; any other cell unchanged."""
    if text[0] + text[-1] not in ("[]", "{}", "()"):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if re.fullmatch(r"\[\s*\d+(\s+\d+)*\s*\]", text):  # numbers as NumPy writes them
            return text[1:-1].split()
        if _PYTHON_LIST.fullmatch(text) is None:
            return text
        # A list of texts as Python, NumPy and pandas write it.
        return [re.sub(r"\\(.)", r"\1", item[1:-1]) for item in re.findall(_ITEM, text)]
    if isinstance(found, dict):
        return found if found and all(flag(part) is not None for part in found.values()) else text
    return found if all(isinstance(part, str | int | float) for part in found) else text


def _label(value: Any) -> str:
    """The name of a label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise TypeError(f"{_shown(value)} is not the name of a label")


@lru_cache(4096)
def canonical(label: str) -> str:
    """One spelling of labels that programs write in several ways: `True`, `TRUE`; `1.0`.

    >>> canonical("TRUE"), canonical("1.0"), canonical("-0.0"), canonical("Good"), canonical("1.5")
    ('true', '1', '0', 'Good', '1.5')
    """
    if label.lower() in ("true", "false"):
        return label.lower()
    if re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.0*)?", label):
        return str(int(float(label))) if len(label) < 15 else label
    return label


class LabelSpelling:
    """Spells a label as lines before do: `True` of a CSV beside `true` of JSON, `1.0` beside `1`."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.notes: dict[str, str] = {}
        """Label of this file -> other spelling that it was given."""

    def next_file(self) -> None:
        """Begin another file."""
        self.notes = {}
        self._known.clear()

    def __call__(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels of a row, as they are to be spelled."""
        found = self._known.get(labels)
        if found is None:
            found = tuple(self._spelled(label) for label in labels)
            if len(self._known) < 4096:  # a column of texts, named by mistake, is not kept
                self._known[labels] = found
        return found

    def _spelled(self, label: str) -> str:
        if label[:1].isalpha() and label.lower() not in ("true", "false"):
            return label
        found = self._first.setdefault(canonical(label), label)
        if found != label:
            self.notes[label] = found
        return found


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
