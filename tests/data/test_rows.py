"""Rows in memory: frames, data sets, tuples, dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from regard.data import Example, Labelled, Pairs, Texts, holds_rows, read_rows
from regard.errors import DataError, InputError

COLUMNS: dict[str, list[Any]] = {"text": ["good", "bad", "so so"], "label": [1, 0, 1]}
EXPECTED = [("good", ("1",)), ("bad", ("0",)), ("so so", ("1",))]


class Frame:
    """A frame of any library: all export the Arrow C stream interface."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._table = pa.table(columns)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __bool__(self) -> bool:
        raise ValueError("the truth value of a frame is ambiguous")


class LazyFrame:
    """As polars has it."""

    def collect_schema(self) -> None: ...

    def collect(self) -> Frame:
        return Frame(COLUMNS)


class Dataset:
    """As the `datasets` library has it, classes by number."""

    column_names: ClassVar = ["text", "label"]
    features: ClassVar = {
        "text": SimpleNamespace(),
        "label": SimpleNamespace(int2str=["neg", "pos"].__getitem__),
    }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for text, label in zip(*COLUMNS.values(), strict=True):
            yield {"text": text, "label": label}


def labelled(data: Any, columns: Labelled | None = None) -> list[tuple[Any, tuple[str, ...]]]:
    return [(e.source, e.labels) for e in read_rows(data, columns or Labelled())]


@pytest.mark.parametrize(
    "data",
    [
        Frame(COLUMNS),
        LazyFrame(),
        pa.table(COLUMNS),
        COLUMNS,
        {name: np.array(column) for name, column in COLUMNS.items()},
        [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
        list(zip(*COLUMNS.values(), strict=True)),
        (row for row in zip(*COLUMNS.values(), strict=True)),
        [[text, np.int64(label)] for text, label in zip(*COLUMNS.values(), strict=True)],
        [("text", "label"), *((t, str(n)) for t, n in zip(*COLUMNS.values(), strict=True))],
    ],
    ids=lambda data: type(data).__name__,
)
def test_every_kind_of_rows_by_hand(data: Any) -> None:
    assert holds_rows(data)
    assert labelled(data) == EXPECTED


def test_classes_of_a_data_set_have_their_names() -> None:
    assert [labels for _, labels in labelled(Dataset())] == [("pos",), ("neg",), ("pos",)]


@pytest.mark.parametrize("library", ["pandas", "polars", "datasets"])
def test_real_frames(library: str) -> None:
    module = pytest.importorskip(library)
    make = module.Dataset.from_dict if library == "datasets" else module.DataFrame
    assert labelled(make(COLUMNS)) == EXPECTED


def test_a_missing_value_is_none() -> None:
    corpus = read_rows(
        {"text": ["a", None, "c", "d"], "label": ["x", "x", float("nan"), None]}, Labelled()
    )
    assert [e.source for e in corpus] == ["a"]
    assert corpus.report.skipped == {"empty source": 1, "empty label": 2}


def test_pairs_lists_and_nested_fields() -> None:
    rows = [
        {"translation": {"de": "Haus", "en": "house"}},
        {"translation": {"de": "Tür", "en": "door"}},
    ]
    pairs = read_rows(rows, Pairs("translation.de", "translation.en"))
    assert [(e.source, e.target) for e in pairs] == [("Haus", "house"), ("Tür", "door")]
    assert [e.target for e in read_rows([("Haus", "house"), ("Tür", "door")], Pairs())] == [
        "house",
        "door",
    ]
    (several,) = read_rows([("Haus", ["house", "home"])], Pairs())
    assert several.references == ("house", "home")
    assert labelled([{"text": "a", "label": ["x", "y"]}]) == [("a", ("x", "y"))]
    assert labelled([("x", "a b"), ("y", "c d"), ("x", "e f")], Labelled(text=2, label=1))[0] == (
        "a b",
        ("x",),
    )
    assert labelled([(0, "a b"), (1, "c d")], Labelled(text=2, label=1))[0] == ("a b", ("0",))


def test_texts_alone() -> None:
    for data in (
        [("a b",), ("c",)],
        [{"text": "a b", "id": 3}, {"text": "c", "id": 4}],
        Frame({"x": ["a b", "c"]}),
    ):
        assert [e.source for e in read_rows(data, Texts())] == ["a b", "c"]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([("a", "x"), ("b",)], DataError, "^list:2: 1 column, expected 2"),
        ([("a", 1), ("b",)], DataError, "^list:2: 1 values, expected 2"),
        ([{"text": "a", "label": "x"}, ("b", "y")], DataError, "^list:2: a tuple, expected a dict"),
        ([("a", 1), "b"], DataError, "^list:2: a str, expected a tuple"),
        ([1, 2], DataError, "^list:1: rows of the type int"),
        ([{"a": 1, "b": 2}], DataError, "^list:1: which column is the text"),
        ([{"text": 5, "label": "x"}], DataError, "^list:1: 5 is neither a text"),
        (iter(()), DataError, "no rows"),
        (
            {"train": Frame(COLUMNS)},
            InputError,
            r"the parts 'train'; give one of them, such as data\['train'\]",
        ),
        ({"text": ["a"], "label": []}, InputError, "columns of several lengths"),
        (5, InputError, "data is a int; expected names of files"),
        ((Example("a") for _ in range(2)), DataError, "rows of the type Example"),
    ],
)
def test_rows_that_cannot_be_used(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_rows(data, Labelled())


def test_names_of_files_and_examples_are_no_rows() -> None:
    for data in ("a.tsv", ["a.tsv", "b.tsv"], [], [Example("a")], read_rows(COLUMNS, Labelled())):
        assert not holds_rows(data)
