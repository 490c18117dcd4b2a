"""Examples from files: how files are read for a task, and what is held out for validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from regard.api.examples import ExampleReader, hold_out
from regard.data import Example, Labelled, Pairs, ReadOptions, Texts, table
from regard.data.formats import Record
from regard.errors import DataError, InputError


def test_a_data_set_of_the_hub_is_a_table_for_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(name: str) -> Iterator[Record]:
        assert name == "hub:who/what#test"
        yield 1, {"translation.de": "der Hund", "translation.en": "the dog", "label": "good"}

    monkeypatch.setattr(table, "hub_records", rows)
    pairs = Pairs("translation.de", "translation.en")
    for task in ("translation", "summarization"):
        (example,) = ExampleReader(task, pairs).read([Path("hub:who/what#test")])
        assert (example.source, example.target) == ("der Hund", "the dog")
    (example,) = ExampleReader("language", Texts("translation.en")).read("hub:who/what#test")
    assert (example.source, example.target) == ("the dog", None)


@pytest.mark.parametrize("name", ["a.tsv", "A.TSV", "a.tsv.gz", "a.csv", "a.jsonl"])
def test_a_language_model_learns_from_a_column(tmp_path: Path, name: str) -> None:
    separator = "," if ".csv" in name else "\t"
    content = f"id{separator}text\n1{separator}a b\n2{separator}c\n"
    if "json" in name:
        content = '{"id": 1, "text": "a b"}\n{"id": 2, "text": "c"}\n'
    (tmp_path / name).write_text(content)
    for columns in (None, Texts("text"), Pairs(source="text")):
        found = ExampleReader("language", columns).read(tmp_path / name)
        assert [example.source for example in found] == ["a b", "c"]


def test_plain_text_of_a_language_model_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\tb\nc\td\n")
    assert [e.source for e in ExampleReader("language").read(tmp_path / "a.txt")] == [
        "a\tb",
        "c\td",
    ]


def test_a_corpus_in_one_line_is_cut_into_pieces(tmp_path: Path) -> None:
    words = "one two three four five six seven " * 200
    (tmp_path / "text8").write_text(words)
    corpus = ExampleReader("language").read(tmp_path / "text8")
    assert len(corpus) > 10
    assert max(len(example.text) for example in corpus) <= 500
    assert " ".join(example.text for example in corpus).split() == words.split()
    assert "one long line, cut into" in str(corpus.report)  # type: ignore[attr-defined]
    (tmp_path / "text9").write_text("a short line\n" + "x" * 30_000 + "\nanother\n")
    found = ExampleReader("language").read(tmp_path / "text9")
    assert len(found) == 2 + 60


def test_one_file_of_pairs_is_a_table(tmp_path: Path) -> None:
    """The file of every tutorial on attention has three columns, of which two are named."""
    path = tmp_path / "deu.txt"
    path.write_text("Go.\tGeh.\tCC-BY 2.0\nHi.\tHallo!\tCC-BY 2.0\n")
    found = ExampleReader("translation", Pairs("1", "2")).read(path)
    assert [(e.source, e.target) for e in found] == [("Go.", "Geh."), ("Hi.", "Hallo!")]
    with pytest.raises(DataError, match=r"which column is the source, which the target.*--source"):
        ExampleReader("translation").read(path)
    path.write_text("Go.\tGeh.\nHi.\tHallo!\n")
    assert len(ExampleReader("translation").read(path)) == 2


@pytest.mark.parametrize("names", [("en", "de"), ("English", "German"), ("en_US", "fr_CA")])
def test_names_of_languages_are_a_header(tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(",".join(names) + "\nthe car,das Auto\nfine,gut\n")
    corpus = ExampleReader("translation").read(path)
    assert corpus[0].source == "the car"
    assert "line 1 taken for a header" in str(corpus.report)  # type: ignore[attr-defined]


def test_a_line_like_a_header_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(
        "frage,antwort\n" + "Wie spät ist es jetzt in Rom?,Es ist schon sehr spät.\n" * 3
    )
    corpus = ExampleReader("translation").read(path)
    assert len(corpus) == 4
    report = str(corpus.report)  # type: ignore[attr-defined]
    assert "line 1 ('frage', 'antwort') is read as an example: if it is a header" in report
    assert "--source 'frage' --target 'antwort'" in report


def test_texts_alone_need_no_labels(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a b\nc, d\n")
    (tmp_path / "table.csv").write_text('mood,tweet\nup,a b\n,"c, d"\n')
    (tmp_path / "lines.jsonl").write_text('{"tweet": "a b"}\n{"tweet": "c, d"}\n')
    (tmp_path / "bare.tsv").write_text("up\ta b\ndown\tc, d\n")
    reader = ExampleReader("classification", Labelled("tweet", "mood"))
    for name in ("lines.txt", "table.csv", "lines.jsonl", "bare.tsv"):
        found = reader.read_texts(tmp_path / name, labels=("up", "down"))
        assert [example.source for example in found] == ["a b", "c, d"], name
    with pytest.raises(DataError, match="no column 'text'"):
        reader.read_texts(tmp_path / "table.csv", text="text")


def test_a_format_makes_any_file_a_table(tmp_path: Path) -> None:
    file = tmp_path / "pairs.dat"
    file.write_text("ein Hund|a dog\neine Katze|a cat\n")
    with pytest.raises(InputError, match="expected pairs"):
        ExampleReader("translation").read(file)
    options = ReadOptions(format="tsv", separator="|")
    found = ExampleReader("translation", options=options).read(file)
    assert [example.target for example in found] == ["a dog", "a cat"]


def test_held_out_parts_are_stratified_disjoint_and_reproducible() -> None:
    examples = [Example(str(i), labels=("ab"[i % 5 == 0],)) for i in range(100)]
    train_part, held = hold_out(examples, seed=1, labelled=True)
    assert sorted([*train_part, *held], key=lambda e: int(e.text)) == examples
    assert [sum(e.labels == (label,) for e in held) for label in "ab"] == [8, 2]
    assert hold_out(examples, seed=1, labelled=True)[1] == held
    assert hold_out(examples, seed=2, labelled=True)[1] != held
    assert len(hold_out([Example("x")] * 30_000, seed=1, labelled=False)[1]) == 1000
    with pytest.raises(InputError, match="one example"):
        hold_out(examples[:1], seed=1, labelled=False)


@pytest.mark.parametrize("each", [1, 2, 4])
def test_rare_labels_are_held_out_together(each: int) -> None:
    names = [f"l{i}" for i in range(200 // each)]
    examples = [Example(f"{n}", labels=(name,)) for name in names for n in range(each)]
    sets = [
        replace(e, labels=("odd" if i % 2 else "even", f"l{i % 20}", f"s{i}"[:3]))
        for i, e in enumerate(examples)
    ]
    for some in (examples, sets):
        train_part, held = hold_out(some, seed=1, labelled=True)
        assert len(train_part) + len(held) == 200
        if some is sets or each > 1:
            assert len(held) == 20
            known = {label for example in train_part for label in example.labels}
            assert {label for example in held for label in example.labels} <= known


def test_texts_beside_training_on_a_label_a_space_and_the_text(tmp_path: Path) -> None:
    (tmp_path / "labelled.txt").write_text("1 a stirring film\n0 dull\n1 good\n")
    (tmp_path / "plain.txt").write_text("a stirring film\ndull\n1 good\n")
    reader = ExampleReader("classification", options=ReadOptions(separator=" "))
    found = reader.read_texts(tmp_path / "labelled.txt", labels=("0", "1"))
    assert [example.source for example in found] == ["a stirring film", "dull", "good"]
    found = reader.read_texts(tmp_path / "plain.txt", labels=("0", "1"))
    assert [example.source for example in found] == ["a stirring film", "dull", "1 good"]
