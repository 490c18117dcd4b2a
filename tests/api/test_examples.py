"""Examples from files: how files are read for a task, and what is held out for validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from regard.api.examples import ExampleReader, hold_out
from regard.data import Example, Pairs, ReadOptions, table
from regard.data.formats import Record
from regard.errors import InputError


def test_a_data_set_of_the_hub_is_a_table_for_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(name: str) -> Iterator[Record]:
        assert name == "hub:who/what#test"
        yield 1, {"translation.de": "der Hund", "translation.en": "the dog", "label": "good"}

    monkeypatch.setattr(table, "hub_records", rows)
    pairs = Pairs("translation.de", "translation.en")
    for task in ("translation", "summarization"):
        (example,) = ExampleReader(task, pairs).read([Path("hub:who/what#test")])
        assert (example.source, example.target) == ("der Hund", "the dog")
    with pytest.raises(InputError, match="a language model learns from text files"):
        ExampleReader("language").read("hub:who/what#test")


@pytest.mark.parametrize(
    "name", ["a.tsv", "a.tab", "A.TSV", "a.tsv.gz", "a.jsonl", "a.ndjson", "a.pq"]
)
def test_tables_are_recognised_by_their_ending(name: str) -> None:
    with pytest.raises(InputError, match="not from tables"):
        ExampleReader("language").read(name)


def test_a_format_makes_any_file_a_table(tmp_path: Path) -> None:
    file = tmp_path / "pairs.dat"
    file.write_text("ein Hund\ta dog\neine Katze\ta cat\n")
    with pytest.raises(InputError, match="expected pairs"):
        ExampleReader("translation").read(file)
    found = ExampleReader("translation", options=ReadOptions(format="tsv")).read(file)
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
