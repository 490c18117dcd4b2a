"""Texts to answer: one for each line or row, never a header or a whole row."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regard.data import ReadOptions, Texts
from regard.data.inputs import read_inputs
from regard.errors import DataError

MOOD = Texts(trained="tweet", labels=("up", "down"))


def read(path: Path | io.BytesIO, columns: Texts = MOOD, **options: str) -> list[str]:
    return [each.text for each in read_inputs(path, columns, ReadOptions(**options))]  # type: ignore[arg-type]


def test_lines_are_texts_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a, b\n\nc\td\n")
    (tmp_path / "a.de").write_text("ein\u2028Satz\nnoch einer\n")
    assert read(tmp_path / "a.txt") == ["a, b", "", "c\td"]
    assert read(tmp_path / "a.de") == ["ein\u2028Satz", "noch einer"]
    assert read(io.BytesIO(b"one\ttext\n")) == ["one\ttext"]
    assert read(io.BytesIO(b"")) == []


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.parquet", "a.json"])
def test_rows_keep_their_columns(tmp_path: Path, name: str) -> None:
    rows = [{"id": "1", "tweet": "a b", "mood": "up"}, {"id": "2", "tweet": "c", "mood": ""}]
    separator = "," if name == "a.csv" else "\t"
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif "json" in name:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(lines if name == "a.jsonl" else json.dumps(rows))
    else:
        lines = "".join(separator.join(row.values()) + "\n" for row in rows)
        (tmp_path / name).write_text(separator.join(rows[0]) + "\n" + lines)
    found = list(read_inputs(tmp_path / name, MOOD, ReadOptions()))
    assert [each.text for each in found] == ["a b", "c"]
    assert [each.row for each in found] == rows


def test_a_table_without_names_or_with_unknown_ones(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("up\ta b\ndown\tc\n")
    (found, _) = read_inputs(tmp_path / "a.tsv", MOOD, ReadOptions())
    assert found == ("a b", {"column1": "up", "column2": "a b"})
    (tmp_path / "b.tsv").write_text("Mood\tTweet\n" + "up\ta b\ndown\tc\n" * 9)
    assert read(tmp_path / "b.tsv")[0] == "a b"  # no label stands above labels: a header
    (tmp_path / "c.tsv").write_text("x\ty\tz\n1\t2\t3\n")
    with pytest.raises(DataError, match=r"which column is the text\?.*--source"):
        read(tmp_path / "c.tsv")
    assert read(tmp_path / "c.tsv", Texts(text="y")) == ["2"]


def test_blank_rows_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("tweet,mood\na,up\n\nb,down\n")
    assert read(tmp_path / "a.csv") == ["a", "", "b"]
    (tmp_path / "a.jsonl").write_text(
        '{"tweet": "a"}\n\n{"tweet": null}\n{"tweet": ["b.", "c."]}\n'
    )
    assert read(tmp_path / "a.jsonl") == ["a", "", "", "b. c."]


def test_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "1.txt").write_text("two\nlines\n")
    (found,) = read_inputs(tmp_path, MOOD, ReadOptions())
    assert found == ("two\nlines", {"file": str(tmp_path / "up" / "1.txt")})


def test_a_number_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"tweet": "a"}\n{"tweet": 3}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: 3 is neither a text"):
        read(tmp_path / "a.jsonl")
