"""Histories read from folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regard.api import Classifier
from regard.api.histories import read_histories, read_history
from regard.errors import ModelFolderError


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    assert classifier.folder is not None
    return shutil.copytree(classifier.folder, tmp_path / "a" / "run")


def test_the_history_of_a_model(folder: Path, classifier: Classifier) -> None:
    assert read_history(folder).records == classifier.history.records
    other = shutil.copytree(folder, folder.parents[1] / "b" / "run")
    assert list(read_histories([folder, other])) == ["a/run", "b/run"]
    assert list(read_histories([folder])) == ["run"]


def test_a_history_that_was_changed(folder: Path) -> None:
    path = folder / "history.jsonl"
    path.write_text(path.read_text().replace('"step": 1', '"step": 7', 1))
    with pytest.raises(ModelFolderError, match="history"):
        read_history(folder)


def test_no_history(tmp_path: Path, pretrained: Callable[[str], Path]) -> None:
    with pytest.raises(ModelFolderError, match="no such folder"):
        read_history(tmp_path / "nowhere")
    with pytest.raises(ModelFolderError, match="no run has validated"):
        read_history(tmp_path)
    with pytest.raises(ModelFolderError, match="was trained elsewhere"):
        read_history(pretrained("bert"))
