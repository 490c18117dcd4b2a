"""Rows of the Hub, with a stand-in for the library that fetches them."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from regard.data import Labelled, Pairs, read_table
from regard.errors import DataError, MissingExtraError


class Names:
    """A feature whose numbers have names, as `datasets.ClassLabel` does."""

    def int2str(self, number: int) -> str:
        return ["neg", "pos"][number]


class Rows(list[dict[str, Any]]):
    def __init__(self, features: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        super().__init__(rows)
        self.features = features


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Rows]:
    """What there is on the Hub: (name, configuration, split) as a string -> rows."""
    sets: dict[str, Rows] = {}

    def load_dataset(name: str, config: str | None, *, split: str) -> Rows:
        if f"{name} {config} {split}" not in sets:
            raise FileNotFoundError(f"no {split} in {name}")
        return sets[f"{name} {config} {split}"]

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return sets


def test_labels_come_by_name(hub: dict[str, Rows]) -> None:
    rows = [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]
    rows += [{"sentence": "hidden", "label": -1}]
    hub["me/films None train"] = Rows({"sentence": object(), "label": Names()}, rows)
    corpus = read_table("hub:me/films")
    assert [(example.source, example.labels) for example in corpus] == [
        ("a", ("pos",)),
        ("b", ("neg",)),
    ]
    assert corpus[1].origin == ("hub:me/films", 2)
    assert corpus.report.skipped == {"empty label": 1}


def test_lists_of_labels(hub: dict[str, Rows]) -> None:
    features = {"text": object(), "labels": SimpleNamespace(feature=Names())}
    hub["me/many None train"] = Rows(features, [{"text": "a", "labels": [0, 1]}])
    assert read_table("hub:me/many")[0].labels == ("neg", "pos")


def test_nested_fields_configuration_and_split(hub: dict[str, Rows]) -> None:
    row = {"translation": {"de": "Hund", "en": "dog"}}
    hub["wmt de-en test"] = Rows({"translation": object()}, [row])
    columns = Pairs("translation.de", "translation.en")
    (example,) = read_table("hub:wmt:de-en#test", columns)
    assert (example.source, example.target) == ("Hund", "dog")


def test_a_set_that_is_not_there(hub: dict[str, Rows]) -> None:
    with pytest.raises(
        DataError, match=r"hub:me/none: cannot be loaded from the Hub \(no train in"
    ):
        read_table("hub:me/none", Labelled())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'regard\[hub\]'"):
        read_table("hub:me/films")
