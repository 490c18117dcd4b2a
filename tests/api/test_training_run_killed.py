"""Runs that are killed at every operation on a file, and what is left of them.

A run is watched by an audit hook of the interpreter. Before each operation in its folder, the folder is copied:
that is what `kill -9` at this moment leaves. Each copy is then gone on with, and must end as the run that was
never killed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import Model
from regard.api.storage.folder import LOCK, NEXT, weights_sha256
from regard.api.storage.verdict import save_verdict
from regard.data import Example
from regard.errors import ModelFolderError, SettingsError
from regard.files import atomic_write
from regard.training import History
from regard.training.checkpoint import RUN_FILE, read_run
from regard.viewing import figure

ROWS = [Example(f"film {n} was {m}", labels=(m,)) for n in range(8) for m in ("good", "poor")]
SETTINGS = {"steps": 3, "batch_tokens": 40, "save_seconds": 0, "width": 4}
OPERATIONS = ("os.", "fcntl.", "shutil.")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Copies a folder before each operation in it.

    Args:
        folder: that is watched.
        copies: folder for the copies; those that differ in nothing are one.
    """

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies = folder, copies
        self.states: dict[str, Path] = {}
        self.operations = 0
        self._busy = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy or not self._concerns(event, arguments):
            return
        self._busy = True
        try:
            self.operations += 1
            self.copy()
            if event == "os.chmod":  # of a file that is written to the end: once more, half of it
                self.copy(half=Path(arguments[0]))
        finally:
            self._busy = False

    def _concerns(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            changes = bool(arguments[2] & WRITING)
        else:
            changes = event.startswith(OPERATIONS) and event not in ("os.listdir", "os.scandir")
        return changes and any(
            isinstance(a, str | os.PathLike) and str(a).startswith(str(self.folder))
            for a in arguments
        )

    def copy(self, half: Path | None = None) -> None:
        place = self.copies / f"{len(self.states):03}" / self.folder.name
        if self.folder.exists():
            shutil.copytree(self.folder, place)
        else:
            place.parent.mkdir()
        if half is not None:
            cut = place / half.relative_to(self.folder)
            cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        state = repr(sorted(content(place).items()))
        if state in self.states:
            shutil.rmtree(place.parent)
        self.states.setdefault(state, place)


_watch: Watch | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is not None:
        _watch(event, arguments)


@pytest.fixture(scope="module")
def hook() -> None:
    """The hook, which cannot be taken away again, but does nothing without a watch."""
    sys.addaudithook(_hook)


@contextmanager
def watched(folder: Path, copies: Path) -> Iterator[Watch]:
    global _watch
    copies.mkdir()
    _watch = watch = Watch(folder, copies)
    try:
        yield watch
    finally:
        _watch = None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk, and no drawing: what a kill leaves depends on neither."""

    def write(_: object, path: Path) -> None:
        with atomic_write(path) as unfinished:
            unfinished.write_text("a picture")

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(figure, "plot_history", lambda *_, **__: None)
    monkeypatch.setattr(figure, "write", write)


def content(folder: Path) -> dict[str, bytes]:
    """Files and folders, but for the name of the process in them."""
    mine = f".{os.getpid()}."
    return {
        str(path.relative_to(folder)).replace(mine, "."): path.read_bytes()
        if path.is_file()
        else b""
        for path in folder.rglob("*")
        if path.name != LOCK
    }


def timeless(history: History) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def result(folder: Path) -> dict[str, object]:
    """All that a run leaves, without times."""
    state, history, tensors = read_run(folder)
    state.seconds = 0.0
    files = content(folder)
    del files["history.jsonl"], files[str(RUN_FILE)]
    return {
        **files,
        "history": timeless(History.load(folder / "history.jsonl")),
        "state": state,
        "its history": timeless(history),
        "tensors": {name: tensor.tolist() for name, tensor in tensors.items()},
    }


def train(out: Path, *, seed: int = 1, validate_every: int | None = 2, **options: Any) -> Model:
    return regard.train(
        "classification",
        train=ROWS,
        valid=ROWS[:6],
        out=out,
        model="bigru",
        preset="tiny",
        settings={**SETTINGS, "seed": seed, "validate_every": validate_every},
        **options,
    )


def go_on(out: Path, **options: Any) -> None:
    """Resume a run, or start it if it was killed before it had left anything."""
    try:
        train(out, resume=True, **options)
    except ModelFolderError:
        assert not out.exists() or not content(out)
        train(out, **options)


def states(watch: Watch, every: int) -> list[Path]:
    """Some of the copies, always the first and the last."""
    watch.copy()
    found = list(watch.states.values())
    return [*found[:-1:every], found[-1]]


EVERY = pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])


@EVERY
@pytest.mark.usefixtures("hook")
def test_a_run_that_is_killed_at_any_operation_ends_as_if_it_never_was(
    tmp_path: Path, every: int
) -> None:
    out = tmp_path / "run"
    with watched(out, tmp_path / "killed") as watch:
        train(out)
    assert watch.operations > 60
    wanted = result(out)
    for copy in states(watch, every):
        go_on(copy)
        assert result(copy) == wanted, copy


@EVERY
@pytest.mark.usefixtures("hook")
def test_a_resumed_run_may_be_killed_too(tmp_path: Path, every: int) -> None:
    out = tmp_path / "run"
    with watched(out, tmp_path / "killed") as watch:
        train(out)
    wanted, all_states = result(out), states(watch, 1)
    halfway = all_states[len(all_states) // 2]
    with watched(halfway, tmp_path / "again") as second:
        train(halfway, resume=True)
    for copy in states(second, every):
        go_on(copy)
        assert result(copy) == wanted, copy


@EVERY
@pytest.mark.usefixtures("hook")
def test_a_killed_replacement_leaves_the_old_model_or_the_new_one(
    tmp_path: Path, every: int
) -> None:
    def start(out: Path, **options: Any) -> None:
        train(out, seed=5, validate_every=None, **options)

    out, alone = tmp_path / "run", tmp_path / "alone" / "run"
    train(out)
    save_verdict(out, {"sentence": "Of the old one."}, weights=weights_sha256(out))
    old, before = regard.load(out), content(out)
    with watched(out, tmp_path / "killed") as watch:
        start(out, overwrite=True)
    wanted = result(out)
    start(alone)
    assert result(alone) == wanted
    seen = set()
    for copy in states(watch, every):
        begun = (copy / NEXT).exists()
        model = regard.load(copy)
        assert begun <= (model.weights == old.weights)
        assert (model.weights == old.weights) == (model.verdict == "Of the old one.")
        assert (model.settings == old.settings) == (model.weights == old.weights)
        seen.add(model.weights)
        try:
            start(copy, resume=True)
        except SettingsError:  # nothing was left of the new run
            assert content(copy) == before
            start(copy, overwrite=True)
        assert result(copy) == wanted, copy
    assert len(seen) > 1


@EVERY
@pytest.mark.usefixtures("hook")
def test_saving_over_a_model_is_killed(tmp_path: Path, every: int) -> None:
    out = tmp_path / "run"
    train(out)
    old, model = regard.load(out), train(tmp_path / "other", seed=5)
    assert "" != old.weights != model.weights != ""
    with watched(out, tmp_path / "killed") as watch:
        model.save(out, overwrite=True)
    seen = set()
    for copy in states(watch, every):
        found = regard.load(copy)
        assert found.weights in (old.weights, model.weights)
        assert (found.settings == old.settings) == (found.weights == old.weights)
        seen.add(found.weights)
        model.save(copy, overwrite=True)
        assert content(copy) == content(out)
    assert len(seen) == 2
