"""The demo leaves what others made alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.api.demo import demo
from regard.api.tasks.classification import Classifier
from regard.errors import InputError


def test_a_trained_model_is_not_replaced(classifier: Classifier) -> None:
    folder = classifier.folder
    assert folder is not None
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"already holds a model; --overwrite replaces it"):
        demo(folder, examples=50, epochs=1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_files_are_not_joined_even_by_overwriting(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(InputError, match="holds no model but other files"):
        demo(tmp_path, examples=50, epochs=1, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
