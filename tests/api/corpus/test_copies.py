"""Models as workers get them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch

import regard
from regard.api.corpus.copies import ModelCopy
from regard.api.tasks.translation import Translator
from regard.errors import InputError, RegardError


def test_files_travel_where_workers_do_not_see_them(
    translators: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    shutil.copytree(translators[0], folder)
    model = regard.load(folder)
    with_files = pickle.loads(pickle.dumps(ModelCopy.of(model, files=True)))
    without = ModelCopy.of(model, files=False)
    assert without.load().folder == folder.resolve()
    shutil.rmtree(folder)
    loaded = with_files.load()
    assert loaded.folder is not None
    assert loaded.folder.name == "gone"
    assert isinstance(model, Translator)
    assert isinstance(loaded, Translator)
    assert loaded.translate("3. Mai 2018")[0].text == model.translate("3. Mai 2018")[0].text
    assert not any("last" in name for name in with_files.files)  # of training, and large
    assert with_files.memory == without.memory > with_files.size


def test_weights_that_are_changed_in_memory_are_no_silent_other_answers(
    translators: tuple[Path, Path],
) -> None:
    model = regard.load(translators[0])
    with torch.no_grad():
        next(model.network.parameters()).add_(1.0)
    with pytest.raises(RegardError, match="a worker loads other weights than this process has"):
        ModelCopy.of(model, files=False).load()


def test_a_model_that_was_never_saved(translators: tuple[Path, Path]) -> None:
    model = regard.load(translators[0])
    model.folder = None
    with pytest.raises(InputError, match="save it first"):
        ModelCopy.of(model, files=False)
