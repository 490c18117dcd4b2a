"""What is in data files is told before training, and the command that comes with it works."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from regard.api.describe import describe
from regard.api.examples import ExampleReader
from regard.cli.options import DataOptions
from regard.data import Labelled, Pairs, ReadOptions, Texts
from regard.errors import DataError, InputError

MOODS = [
    (f"{'good' if i % 2 else 'bad'} day number {i}", "up" if i % 2 else "down") for i in range(24)
]


def table(path: Path, separator: str, header: str = "", encoding: str = "utf-8") -> Path:
    lines = "".join(f"{text}{separator}{label}\n" for text, label in MOODS)
    path.write_text(header + lines, encoding=encoding)
    return path


def read_by(command: str) -> tuple[str, int]:
    """Task of a command of `regard train`, and the number of examples that it reads."""
    words = shlex.split(command)
    assert words[:2] == ["regard", "train"]
    task, rest = words[2], words[3:]
    files: dict[str, list[str]] = {}
    for word in rest:
        if word.startswith("--"):
            files[word.removeprefix("--").replace("-", "_")] = value = []
        else:
            value.append(word)
    names = {name: value[0] for name, value in files.items()}
    known = {name: value for name, value in names.items() if name in vars(DataOptions())}
    options = ReadOptions(**DataOptions(**known).read_options())  # type: ignore[arg-type]
    source, target = names.get("source"), names.get("target")
    columns: Labelled | Pairs | Texts = Pairs(source, target)
    if task == "classification":
        rare = names.get("rare_labels", "error")
        columns = Labelled(source, target, names.get("label_separator"), rare)  # type: ignore[arg-type]
    elif task == "language":
        columns = Texts(source)
    reader = ExampleReader(task, columns, options)  # type: ignore[arg-type]
    return task, len(reader.read_training(files["train"]))


@pytest.mark.parametrize(
    ("name", "separator", "header", "encoding"),
    [
        ("a.tsv", "\t", "", "utf-8"),
        ("a.csv", ";", "text;label\n", "utf-8"),
        ("a.csv", ",", "tweet,mood\n", "utf-8"),
        ("a.txt", "\t", "Tweet\tMood\n", "utf-8"),
        ("a.csv", ",", "tweet,mood\n", "utf-16"),
        ("a.csv", ",", "täglich,mood\n", "latin-1"),
        ("a.csv", ",", "tweet,mood\n", "utf-16-le"),
        ("train one.csv", ";", "sep=;\ntweet;mood\n", "utf-8"),
    ],
)
def test_the_command_reads_every_row(
    tmp_path: Path, name: str, separator: str, header: str, encoding: str
) -> None:
    found = describe(table(tmp_path / name, separator, header, encoding))
    assert found.task == "classification"
    assert found.problem == ""
    assert read_by(found.command) == ("classification", 24)
    assert found.parts[0].labels == {"down": 12, "up": 12}
    assert found.files[0].header is bool(header)


def test_more_columns_than_two(tmp_path: Path) -> None:
    rows = "".join(
        f'{i},2020-01-{i % 28 + 1:02},"{t}, it is",{m}\n' for i, (t, m) in enumerate(MOODS)
    )
    (tmp_path / "a.csv").write_text("id,date,tweet,mood\n" + rows)
    found = describe(tmp_path / "a.csv")
    assert "--source tweet --target mood" in found.command
    assert read_by(found.command) == ("classification", 24)
    flags = "".join(f"{i},{t},{i % 2},{i % 3 % 2}\n" for i, (t, _) in enumerate(MOODS))
    (tmp_path / "b.csv").write_text("id,comment,toxic,rude\n" + flags)
    found = describe(tmp_path / "b.csv")
    assert "--source comment --target toxic,rude" in found.command
    assert read_by(found.command) == ("classification", 24)


def test_texts_by_turns_are_for_translation(tmp_path: Path) -> None:
    for part, count in (("train", 30), ("val", 3)):
        for language in ("de", "en"):
            lines = "".join(f"{language} line {i}\n" for i in range(count))
            (tmp_path / f"{part}.{language}").write_text(lines)
    files = [
        tmp_path / f"{part}.{language}" for part in ("train", "val") for language in ("de", "en")
    ]
    found = describe(files)
    assert found.task == "translation"
    assert f"--valid {files[2]} {files[3]}" in found.command
    assert [part.examples for part in found.parts] == [30, 3]
    assert found.parts[1].overlap == {f"{files[0]}, {files[1]}": 3}
    assert any("3 of 3 texts are in" in finding for finding in found.findings)
    assert describe(files[0]).task == "language"
    assert read_by(describe(files[0]).command) == ("language", 30)


def test_pairs_and_summaries_in_tables(tmp_path: Path) -> None:
    pairs = "".join(f"line number {i}\tZeile Nummer {i}\n" for i in range(20))
    (tmp_path / "a.tsv").write_text(pairs)
    assert read_by(describe(tmp_path / "a.tsv").command) == ("translation", 20)
    (tmp_path / "b.tsv").write_text(pairs.replace("\n", "\tCC-BY 2.0\n"))
    assert read_by(describe(tmp_path / "b.tsv").command) == ("translation", 20)
    records = [{"source": f"{'long text ' * 60}{i}", "target": f"short {i}"} for i in range(20)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert read_by(describe(tmp_path / "c.jsonl").command) == ("summarization", 20)
    nested = [{"translation": {"en": f"line {i}", "de": f"Zeile {i}"}} for i in range(20)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(record) + "\n" for record in nested))
    command = describe(tmp_path / "d.jsonl").command
    assert "--source translation.en --target translation.de" in command
    assert read_by(command) == ("translation", 20)


def test_findings(tmp_path: Path) -> None:
    train = table(tmp_path / "train.tsv", "\t", "text\tlabel\n")
    lines = "good day\tUp\ngood day\tdown\n \tup\nx\t\nbad day\toutrageous\nbad day\toutrageuos\n"
    train.write_text(train.read_text() + lines)
    test = tmp_path / "test.tsv"
    test.write_text("text\tlabel\ngood day\tup\nnew\tother\n")
    found = describe([train, test])
    part = found.parts[0]
    assert part.skipped == {"empty source": (1, f"{train}:28"), "empty label": (1, f"{train}:29")}
    assert set(part.near_twins) == {("Up", "up"), ("outrageous", "outrageuos")}
    assert (part.duplicates, part.contradictions) == (2, 2)
    assert found.parts[1].overlap == {str(train): 1}
    assert "--rare-labels skip" in found.command
    assert read_by(found.command)[1] == 25
    text = "\n".join(found.findings)
    assert "labels that training never sees: other" in text
    assert "'Up' and 'up' may be one label" in text
    assert json.loads(found.to_json())["parts"][1]["examples"] == 2


def test_labels_that_are_several(tmp_path: Path) -> None:
    lines = "a b\tx|y\nc d\tx\ne f\ty|z\ng h\tz\ni j\tx|y\nk l\ty|z\nm\tx\nn\tz\n"
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + lines)
    found = describe(tmp_path / "a.tsv")
    assert any("--label-separator '|'" in finding for finding in found.findings)
    again = describe(tmp_path / "a.tsv", label_separator="|")
    assert again.parts[0].labels == {"x": 4, "y": 4, "z": 4}
    assert read_by(again.command) == ("classification", 8)


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = table(tmp_path / "a.tsv", "\t")
    path.write_text(path.read_text() + "one cell\n")
    found = describe(path)
    assert (found.command, found.task) == ("", None)
    assert "a.tsv:25: 1 column, expected 2" in found.problem
    with pytest.raises(InputError, match="save it to a file first"):
        describe("-")
    with pytest.raises(DataError, match="no such file"):
        describe(tmp_path / "none.tsv")


def test_a_command_names_a_folder_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "mood.csv", ",")
    (tmp_path / "runs" / "mood").mkdir(parents=True)
    assert describe("mood.csv").command.endswith("--out runs/mood-2")
