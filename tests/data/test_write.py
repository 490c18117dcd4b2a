"""Tables that are written are read again as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from regard.data import Labelled, read_table
from regard.data.write import ENDINGS, free_name, table_writer
from regard.errors import InputError

ROWS = [
    {"text": 'a, "b"', "label": "x"},
    {"text": "two\nlines\tand a tab", "label": "y"},
    {"text": "plain", "label": "x"},
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with table_writer(path) as write:
        for row in ROWS:
            write({**row, "several": ["a", "b"]})
    found = read_table(path)
    assert [(e.source, e.labels) for e in found] == [(r["text"], (r["label"],)) for r in ROWS]
    lists = read_table(path, Labelled(label="several"))
    assert [e.labels for e in lists] == [("a", "b")] * 3


def test_a_table_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with table_writer(tmp_path / "out.csv") as write:
            write(ROWS[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_rows_with_other_columns(tmp_path: Path) -> None:
    def mixed(name: str) -> None:
        with table_writer(tmp_path / name) as write:
            write({"a": 1})
            write({"a": 2, "b": None})

    with pytest.raises(InputError, match=r"a row has the column 'b', the first row has a; write"):
        mixed("out.csv")
    mixed("out.jsonl")
    mixed("out.parquet")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1]) == {"a": 2, "b": None}
    assert pq.read_table(tmp_path / "out.parquet").to_pylist()[0] == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("name", "message"), [("a.xls", "unknown kind"), ("no/a.csv", "no folder")]
)
def test_tables_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message), table_writer(tmp_path / name):
        pass


def test_a_name_that_is_taken() -> None:
    assert free_name("label", {"text": ""}) == "label"
    assert free_name("label", {"label": ""}) == "predicted_label"
    assert free_name("label", {"label": "", "predicted_label": ""}) == "predicted_predicted_label"


def test_parquet_holds_few_rows_and_one_type_for_each_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "late": None, "several": []},
        {"n": 2, "late": None, "several": []},
        {"n": 2.5, "late": "x", "several": ["a"]},
        {"n": None, "late": None, "several": ["b", "c"], "new": True},
        {"n": 4, "late": "y", "several": []},
    ]
    with table_writer(tmp_path / "whole.parquet") as write:
        for row in rows:
            write(row)
    monkeypatch.setattr("regard.data.write.ROWS_PER_GROUP", 2)
    with table_writer(tmp_path / "groups.parquet") as write:
        for row in rows:
            write(row)
    whole, groups = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "groups"))
    assert groups.schema == whole.schema
    assert groups.to_pylist() == whole.to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["groups.parquet", "whole.parquet"]

    def several_types() -> None:
        with table_writer(tmp_path / "bad.parquet") as write:
            for n in (1, 2, "three"):
                write({"n": n})

    with pytest.raises(InputError, match=r"of several types .*; write \.jsonl"):
        several_types()


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    with table_writer(tmp_path / "none.parquet"):
        pass
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
