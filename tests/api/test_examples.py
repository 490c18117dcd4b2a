"""What the names of files and the settings of a reading make of a task's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from regard.api.examples import ExampleReader
from regard.api.tasks import model as task_model
from regard.api.tasks.model import Model
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
def test_tables_go_by_their_ending(name: str) -> None:
    with pytest.raises(InputError, match="not from tables"):
        ExampleReader("language").read(name)


def test_a_format_makes_any_file_a_table(tmp_path: Path) -> None:
    file = tmp_path / "pairs.dat"
    file.write_text("ein Hund\ta dog\neine Katze\ta cat\n")
    with pytest.raises(InputError, match="expected pairs"):
        ExampleReader("translation").read(file)
    found = ExampleReader("translation", options=ReadOptions(format="tsv")).read(file)
    assert [example.target for example in found] == ["a dog", "a cat"]


@pytest.mark.parametrize("name", ["translator", "classifier", "abstractive", "generator"])
def test_ids_are_the_same_however_many_are_made_at_once(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = request.getfixturevalue(name)
    texts = [f"3 May 20{i} red green" for i in range(10)]
    labels = ("yes",) if name == "classifier" else ()
    examples = [Example(text, text[::-1], labels=labels) for text in texts]
    whole = model.encode_examples(examples, training=True)
    monkeypatch.setattr(task_model, "EXAMPLES_PER_CHUNK", 3)
    parts = model.encode_examples(examples, training=True)
    assert (whole.lengths == parts.lengths).all()
    indices = range(len(whole.lengths))
    assert len(indices) >= 10
    torch.testing.assert_close(whole.batch(indices).source, parts.batch(indices).source)
    torch.testing.assert_close(whole.batch(indices).target, parts.batch(indices).target)
