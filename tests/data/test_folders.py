"""A folder for each label, a file for each text."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.data import Pairs, Texts, read_table
from regard.errors import DataError


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    root = tmp_path / "reviews"
    for label, texts in {"good": ["warm\nsoup", "tea"], "bad": ["cold"], "unsup": ["?"]}.items():
        (root / label).mkdir(parents=True)
        for number, text in enumerate(texts):
            (root / label / f"{number}.txt").write_text(text + "\n")
    (root / ".DS_Store").write_bytes(b"\0")
    return root


def test_labels_are_the_names_of_folders(reviews: Path) -> None:
    corpus = read_table(reviews)
    assert [(e.source, e.labels) for e in corpus] == [
        ("cold", ("bad",)),
        ("warm\nsoup", ("good",)),
        ("tea", ("good",)),
    ]
    assert corpus[0].origin == (str(reviews / "bad" / "0.txt"), 1)
    assert corpus.report.skipped == {"empty label": 1}  # reviews without a label, as in aclImdb
    assert corpus.report.first["empty label"][0].endswith("unsup/0.txt")


def test_texts_alone(reviews: Path) -> None:
    assert [e.source for e in read_table(reviews, Texts())] == ["cold", "warm\nsoup", "tea", "?"]
    assert [e.source for e in read_table(reviews / "good", Texts())] == ["warm\nsoup", "tea"]


def test_folders_that_are_no_table(reviews: Path) -> None:
    with pytest.raises(DataError, match=r"folders inside folders \(reviews/bad\).*reviews"):
        read_table(reviews.parent)
    with pytest.raises(DataError, match="a folder of files, expected a folder for each label"):
        read_table(reviews / "good")
    with pytest.raises(DataError, match="a folder, expected files"):
        read_table(reviews, Pairs())
    (reviews.parent / "empty").mkdir()
    with pytest.raises(DataError, match="an empty folder"):
        read_table(reviews.parent / "empty")
