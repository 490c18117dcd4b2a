"""Facts in front of a model card, as `huggingface_hub` reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.api.storage.front_matter import card_facts, merged, renamed, split, with_facts
from regard.choices import Task
from regard.evaluation import Score

TEXT = "# mood\n\nA model.\n"


@pytest.mark.parametrize(
    ("task", "pipeline"),
    [
        ("classification", "text-classification"),
        ("translation", "translation"),
        ("summarization", "summarization"),
        ("language", "text-generation"),
    ],
)
def test_the_hub_reads_them(tmp_path: Path, task: Task, pipeline: str) -> None:
    repocard = pytest.importorskip("huggingface_hub")
    scores = [Score("accuracy", 85.61234, (80, 90)), Score("macro F1", 84.0), Score("ROUGE-L", 3)]
    facts = card_facts("Müller: 'mood'", task=task, kind="cnn", data="a: b.tsv", scores=scores)
    (tmp_path / "README.md").write_text(with_facts(facts, TEXT), encoding="utf-8")
    assert repocard.metadata_load(tmp_path / "README.md") == facts
    data = repocard.ModelCard.load(tmp_path / "README.md").data
    assert (data.pipeline_tag, data.library_name) == (pipeline, "regard")
    assert (data.license, data.datasets) == (None, None)
    results = [(each.metric_type, each.metric_value) for each in data.eval_results]
    assert results == [("accuracy", 85.6123), ("f1", 84.0), ("rouge", 3)]
    assert {each.dataset_name for each in data.eval_results} == {"a: b.tsv"}


@pytest.mark.parametrize(
    "card",
    [
        TEXT,
        "---\nnot closed\n",
        "---\n- a list\n---\n# x\n",
        "---\na: [\n---\n# x\n",
        "",
        "---\n---\n",
    ],
)
def test_cards_without_facts_stay_as_they_are(card: str) -> None:
    assert split(card) == ({}, card)
    assert merged("# mine\n", card) == "# mine\n"


def test_renaming_keeps_what_the_user_wrote() -> None:
    facts = card_facts(
        "mood", task="classification", kind="cnn", data="x", scores=[Score("accuracy", 5)]
    )
    card = with_facts({"license": "mit", **facts}, TEXT)
    found, text = split(renamed(card, "other"))
    assert found["license"] == "mit"
    assert found["model-index"][0]["name"] == "other"
    assert found["model-index"][0]["results"] == facts["model-index"][0]["results"]
    assert text == "# other\n\nA model.\n"
    assert renamed(TEXT, "other") == "# other\n\nA model.\n"
    assert renamed("no title\n", "other") == "no title\n"


def test_merging_takes_over_what_is_missing() -> None:
    mine = with_facts({"library_name": "regard", "tags": ["new"]}, TEXT)
    there = with_facts({"license": "mit", "tags": ["old"]}, "# old\n")
    assert split(merged(mine, there)) == (
        {"license": "mit", "tags": ["new"], "library_name": "regard"},
        TEXT,
    )
