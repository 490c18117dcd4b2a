"""Replacing the model of a folder: old or new at any time, and never a mixture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regard.api.storage import replacing
from regard.api.storage.folder import CONFIG, LOCK, NEXT
from regard.api.storage.lock import locked
from regard.api.storage.replacing import (
    begin_next,
    discard_next,
    finish_replacing,
    next_of,
    read_whole,
    replace_by_next,
    writing,
)
from regard.errors import InputError, ModelFolderError
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE

OLD = {CONFIG: "old", WEIGHTS_FILE: "old", "tokenizer.json": "old", "trust.json": "old"}
NEW = {CONFIG: "new", WEIGHTS_FILE: "new", "tokenizer.json": "new", str(RUN_FILE): "new"}


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, a file of the user's, and a model that is to replace it."""
    folder = fill(tmp_path / "run", {**OLD, str(RUN_FILE): "old", "notes.txt": "mine"})
    fill(begin_next(folder), NEW)
    return folder


def test_the_new_model_replaces_the_old_one_and_nothing_else(folder: Path) -> None:
    replace_by_next(folder)
    assert content(folder) == {**NEW, "notes.txt": "mine"}
    assert {path.name for path in folder.iterdir()} == {
        *(CONFIG, WEIGHTS_FILE, "tokenizer.json", "last", "notes.txt")
    }


def test_a_new_model_that_is_given_up_leaves_nothing(folder: Path) -> None:
    discard_next(folder)
    assert content(folder) == {**OLD, str(RUN_FILE): "old", "notes.txt": "mine"}
    discard_next(folder)
    assert begin_next(folder) == next_of(folder) == folder / NEXT
    assert list(next_of(folder).iterdir()) == []


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({**OLD}, {**NEW}),  # all is still to do
        ({CONFIG: "old"}, {**NEW}),  # deleted but for one
        ({}, {**NEW}),
        ({WEIGHTS_FILE: "new"}, {n: "new" for n in NEW if n != WEIGHTS_FILE}),
        ({n: "new" for n in NEW if n != CONFIG}, {CONFIG: "new"}),
        ({**NEW}, {}),
    ],
)
def test_what_a_killed_process_began_is_finished(
    tmp_path: Path, above: dict[str, str], below: dict[str, str]
) -> None:
    fill(tmp_path, above)
    (tmp_path / ".replacing").mkdir()
    fill(tmp_path / ".replacing", below)
    assert read_whole(tmp_path, lambda: content(tmp_path)) == NEW
    assert {path.name for path in tmp_path.iterdir()} == {
        *(CONFIG, WEIGHTS_FILE, "tokenizer.json", "last")
    }
    finish_replacing(tmp_path)
    assert content(tmp_path) == NEW


def test_what_is_replaced_while_it_is_read_is_read_again(folder: Path) -> None:
    read: list[str] = []

    def slowly() -> tuple[str, str]:
        config = (folder / CONFIG).read_text()
        if not read:
            replace_by_next(folder)
        read.append(config)
        return config, (folder / WEIGHTS_FILE).read_text()

    assert read_whole(folder, slowly) == ("new", "new")
    assert read == ["old", "new"]


def test_an_error_while_files_change_is_none(folder: Path) -> None:
    def once() -> str:
        if next_of(folder).exists():
            replace_by_next(folder)
            raise FileNotFoundError("between two steps")
        return (folder / WEIGHTS_FILE).read_text()

    assert read_whole(folder, once) == "new"

    def damaged() -> str:
        raise ModelFolderError("damaged")

    with pytest.raises(ModelFolderError, match="damaged"):
        read_whole(folder, damaged)


def test_a_model_that_always_changes_is_told(folder: Path) -> None:
    def training() -> None:
        weights = folder / WEIGHTS_FILE
        weights.write_text(weights.read_text() + "more")

    with pytest.raises(ModelFolderError, match="changes while it is read; wait until its training"):
        read_whole(folder, training)


def test_who_reads_waits_for_who_replaces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NEXT).rename(folder / ".replacing")
    monkeypatch.setattr(replacing, "_PATIENCE", 0.0)
    with (
        locked(folder, "train"),
        pytest.raises(ModelFolderError, match=r"is being replaced; .* written by this process"),
    ):
        read_whole(folder, lambda: content(folder))
    assert read_whole(folder, lambda: content(folder))[CONFIG] == "new"


def test_writing_tidies_first_and_leaves_no_lock(tmp_path: Path) -> None:
    folder = fill(tmp_path / "run", {**OLD, ".model.safetensors.4711.unfinished": "half"})
    fill(folder, {"last/.run.safetensors.4711.unfinished": "half", LOCK: "{"})
    (folder / ".replacing").mkdir()
    fill(folder / ".replacing", NEW)
    with writing(folder, "train", resume=True):
        assert set(content(folder)) == {*NEW, LOCK}
        assert json.loads((folder / LOCK).read_text())["doing"] == "train"
    assert content(folder) == NEW


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data"), writing(tmp_path / "run", "train"):
        raise ValueError("data")
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with writing(tmp_path / "mine", "train"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_a_folder_that_is_filled_meanwhile_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run may end between the first look at the folder and the lock."""

    def delayed(folder: Path, doing: str) -> object:
        fill(folder, OLD)
        return locked(folder, doing)

    monkeypatch.setattr(replacing, "locked", delayed)
    with (
        pytest.raises(InputError, match="already holds a model"),
        writing(tmp_path / "run", "train"),
    ):
        pass
    assert content(tmp_path / "run") == OLD
