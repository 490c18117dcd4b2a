"""Tables in, lines or a table out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import regard
from regard.cli.app import app
from regard.data import Labelled


def call(*arguments: object, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


@pytest.fixture(scope="module")
def mood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that was trained on a table with names of its own."""
    folder = tmp_path_factory.mktemp("mood")
    rows = "".join(
        f"{i},{'good' if i % 2 else 'bad'} day,{'up' if i % 2 else 'down'}\n" for i in range(40)
    )
    (folder / "train.csv").write_text("id,tweet,mood\n" + rows)
    regard.train(
        "classification",
        train=folder / "train.csv",
        out=folder / "run",
        preset="tiny",
        columns=Labelled("tweet", "mood"),
        settings={"steps": 2},
    )
    return folder / "run"


def test_a_table_is_answered_row_by_row(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text('id,tweet,mood\n7,"good, day",up\n8,,\n9,bad day,down\n')
    plain = call("classify", mood, text="good, day\n\nbad day\n").stdout
    assert call("classify", mood, tmp_path / "test.csv").stdout == plain
    assert len(plain.splitlines()) == 3
    piped = call("classify", mood, text=(tmp_path / "test.csv").read_text().replace(",", "\t"))
    assert len(piped.stdout.splitlines()) == 3  # no header is labelled
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        out = tmp_path / f"out.{ending}"
        found = call("classify", mood, tmp_path / "test.csv", "--out", out)
        assert (found.exit_code, found.stdout) == (0, "")
        assert f"3 rows in {out}" in found.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "tweet", "mood", "label", "probability"]
    assert [row["label"] for row in rows] == plain.split("\n")[:3]
    assert (rows[0]["tweet"], rows[1]["label"], rows[1]["probability"]) == ("good, day", "", "")
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["id"] == "7"
    assert 0 < first["probability"] <= 1
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 3


def test_columns_that_are_there_stay_and_lines_become_a_column(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "gold.jsonl").write_text('{"tweet": "good day", "label": "mine"}\n')
    assert (
        call("classify", mood, tmp_path / "gold.jsonl", "--out", tmp_path / "a.jsonl").exit_code
        == 0
    )
    row = json.loads((tmp_path / "a.jsonl").read_text())
    assert row["label"] == "mine"
    assert row["predicted_label"] in ("up", "down")
    assert call("classify", mood, "--out", tmp_path / "b.csv", text="good day\n").exit_code == 0
    assert (tmp_path / "b.csv").read_text().startswith("text,label,probability\ngood day,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "out.txt"], "out.txt: unknown kind of table '.txt'"),
        (["--out", "out.csv", "--json"], "choose one"),
        (["--source", "text"], "no column 'text'; there are 'id', 'tweet', 'mood'"),
        (["--separator", '"'], "cannot stand between the columns"),
    ],
)
def test_what_cannot_be_answered(
    mood: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.csv").write_text("id,tweet,mood\n7,good day,up\n8,bad day,up\n")
    found = call("classify", mood, "test.csv", *arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["test.csv"]


def test_evaluate_and_trust_take_what_training_took(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("say;is\n" + "good day;up\nbad day;down\n" * 5)
    options = ("--separator", ";", "--source", "say", "--target", "is")
    found = call("evaluate", mood, "--test", tmp_path / "test.tsv", *options)
    assert found.exit_code == 0, found.output
    assert "TF-IDF" in found.stdout
    (tmp_path / "texts.txt").write_text("good day\nbad day\n" * 4)
    found = call("trust", mood, "--test", tmp_path / "texts.txt", "--texts", 2)
    assert found.exit_code == 0, found.output


def test_a_changed_training_file_gives_no_baseline(mood: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("id,tweet,mood\n" + "1,good day,up\n2,bad day,down\n" * 5)
    train = mood.parent / "train.csv"
    content = train.read_text()
    try:
        train.write_text(content.replace("up", "down", 1))
        found = call("evaluate", mood, "--test", test)
    finally:
        train.write_text(content)
    assert f"no baseline: {train} is not the file the model was trained on" in found.stdout
    assert "TF-IDF" not in found.stdout


def test_beginnings_come_from_a_prompt_lines_or_tables(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a b c d e f g h i\n" * 20)
    regard.train(
        "language",
        train=tmp_path / "train.txt",
        out=tmp_path / "run",
        preset="tiny",
        settings={"steps": 2, "tokenizer": "char"},
    )
    (tmp_path / "begin.jsonl").write_text('{"text": "a b", "n": 1}\n{"text": "c\\td", "n": 2}\n')
    command = ["generate", tmp_path / "run", "--length", 4, "--temperature", 1]
    lines = call(*command, text="a b\nc\td\n").stdout  # a tab in a line makes no table
    assert [line[:3] for line in lines.splitlines()] == ["a b", "c\td"]
    assert call(*command, "--texts", tmp_path / "begin.jsonl").stdout == lines
    out = tmp_path / "out.jsonl"
    assert call(*command, "--texts", tmp_path / "begin.jsonl", "--out", out).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [[*row] for row in rows] == [["text", "n", "continuation", "score"]] * 2
    assert [row["text"] + row["continuation"] for row in rows] == lines.splitlines()
    found = call(*command, "a", "--texts", tmp_path / "begin.jsonl")
    assert (found.exit_code, "leave one out" in found.stderr) == (2, True)


def test_an_interrupted_table_goes_on_from_its_state(mood: Path, tmp_path: Path) -> None:
    rows = "".join(f"{n},good day {n}\n" for n in range(300))
    (tmp_path / "test.csv").write_text("id,tweet\n" + rows)
    command = ["classify", mood, tmp_path / "test.csv", "--state", tmp_path / "state"]
    assert call(*command, "--out", tmp_path / "a.csv").exit_code == 0
    kept = (tmp_path / "state").read_text().splitlines(keepends=True)
    assert len(kept) == 3  # what it is of, and two batches
    (tmp_path / "state").write_text("".join(kept[:2]) + kept[2][:40])
    assert call(*command, "--out", tmp_path / "b.csv").exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    found = call(*command)
    assert (found.exit_code, "differs by its settings" in found.stderr) == (2, True)
