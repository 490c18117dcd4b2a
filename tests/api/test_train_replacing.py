"""Two runs in one folder, and runs that replace the model in it."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import Model
from regard.api.storage import saving
from regard.api.storage.folder import NEXT
from regard.api.storage.lock import locked
from regard.api.trust import trust
from regard.data import Example
from regard.errors import (
    DataError,
    InputError,
    ModelFolderError,
    RegardError,
    SettingsError,
    TrainingError,
)
from regard.training import Callback, Interrupted, Progress
from regard.training.checkpoint import RUN_FILE

ROWS = [Example(f"film {n} was {m}", labels=(m,)) for n in range(12) for m in ("good", "poor")]
SETTINGS = {"steps": 4, "batch_tokens": 60, "validate_every": 2, "save_seconds": 0}


def train(out: Path, **options: Any) -> Model:
    settings = {**SETTINGS, **options.pop("settings", {})}
    return regard.train(
        "classification",
        train=options.pop("rows", ROWS),
        valid=ROWS[:8],
        out=out,
        model="bigru",
        preset="tiny",
        settings=settings,
        **options,
    )


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class At(Callback):
    """Does something after an update, or before the first validation."""

    def __init__(self, step: int | None, act: Callable[[], object]) -> None:
        self.step, self.act = step, act

    def on_step(self, progress: Progress) -> None:
        if progress.step == self.step:
            self.act()

    def on_validation_start(self) -> None:
        if self.step is None:
            self.act()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a trained model."""
    train(tmp_path / "run")
    return tmp_path / "run"


def test_the_second_of_two_runs_is_told_of_the_first(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def second() -> None:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            try:
                train(tmp_path / "run", **options)
            except InputError as error:
                refused.append(error)

    def in_a_thread() -> None:  # as another process: signals are not its affair
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()

    model = train(tmp_path / "run", callback=At(3, in_a_thread))
    assert len(refused) == 3
    holder = "is being written by this process (regard train, since 20"
    assert all(holder in str(error) for error in refused)
    alone = train(tmp_path / "alone")
    for one, other in zip(model.network.parameters(), alone.network.parameters(), strict=True):
        assert one.equal(other)
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_reader_gets_the_old_model_until_the_new_one_has_weights(out: Path) -> None:
    old = regard.load(out).network.state_dict()
    before, seen = content(out), []

    def look() -> None:
        found = regard.load(out).network.state_dict()
        seen.append(all(found[name].equal(old[name]) for name in old))

    train(out, overwrite=True, settings={"seed": 5}, callback=At(1, look))
    assert seen == [True]
    assert content(out)["config.json"] != before["config.json"]
    train(out, overwrite=True, settings={"seed": 1}, callback=At(3, look))
    assert seen == [True, False]


@pytest.mark.parametrize("when", [1, None])
def test_ctrl_c_before_the_new_weights_leaves_the_old_ones(out: Path, when: int | None) -> None:
    before = content(out)

    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as stopped:
        train(out, overwrite=True, settings={"seed": 5}, callback=At(when, stop))
    assert stopped.value.folder == out
    now = content(out)
    assert {name: now[name] for name in before} == before
    assert {name.split("/")[0] for name in now.keys() - before.keys()} == {NEXT}
    regard.load(out).look("film 3 was good")
    with pytest.raises(SettingsError, match="begun with seed=5, this is seed=1"):
        train(out, resume=True, settings={"seed": 1})
    train(out, resume=True, settings={"seed": 5})
    new = train(out.parent / "alone", settings={"seed": 5})
    for one, other in zip(
        regard.load(out).network.parameters(), new.network.parameters(), strict=True
    ):
        assert one.equal(other)
    assert not list(out.rglob(".*"))


def test_errors_before_the_first_save_leave_nothing_at_all(out: Path) -> None:
    before = content(out)

    def crash() -> None:
        raise RuntimeError("of somebody else's")

    with pytest.raises(DataError):
        train(out, rows="nowhere.tsv", overwrite=True)
    with pytest.raises(RuntimeError):
        train(out, overwrite=True, settings={"save_seconds": 60}, callback=At(1, crash))
    with pytest.raises(TrainingError):
        train(out, overwrite=True, settings={"save_seconds": 60, "learning_rate": 1e38})
    assert content(out) == before
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_data_is_read_leaves_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before, handlers = content(out), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    rows = Path(__file__)  # any file; the signal comes before its first line is read
    monkeypatch.setattr(
        "regard.api.training_run._read_parts", lambda run: signal.raise_signal(number)
    )
    for folder, options in ((out, {"overwrite": True}), (tmp_path / "new", {})):
        with pytest.raises(Interrupted) as stopped:
            train(folder, rows=rows, **options)
        assert (stopped.value.signal, stopped.value.folder) == (number, None)
    assert content(out) == before
    assert not list(out.rglob(".*"))
    assert not (tmp_path / "new").exists()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_interrupted_replacement_is_given_up_for_the_next(out: Path) -> None:
    def stop() -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(out, overwrite=True, settings={"seed": 5}, callback=At(1, stop))
    with pytest.raises(InputError, match="already holds a model"):
        train(out)
    train(out, overwrite=True, settings={"seed": 6})
    with pytest.raises(SettingsError, match="begun with seed=6"):
        train(out, resume=True, settings={"seed": 5})


def test_a_run_whose_state_was_deleted_keeps_its_weights_until_there_are_others(out: Path) -> None:
    (out / RUN_FILE).unlink()
    before = content(out)

    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(out, resume=True, callback=At(1, stop))
    now = content(out)
    assert {name: now[name] for name in before} == before
    train(out, resume=True)
    assert content(out)["model.safetensors"] == before["model.safetensors"]


def test_a_run_that_had_not_begun_is_begun(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    train(whole)
    wanted = content(whole)

    def crash() -> None:
        raise RuntimeError("power cut")

    settings = {"save_seconds": 60}
    with pytest.raises(RuntimeError):
        train(out, settings=settings, callback=At(1, crash))
    assert sorted(content(out)) == ["config.json", "source.json"]
    with pytest.raises(SettingsError, match="begun with seed=1, this is seed=2"):
        train(out, resume=True, settings={"seed": 2})
    with pytest.raises(InputError, match="give the same data"):
        train(out, resume=True, rows=ROWS[2:])
    train(out, resume=True)
    found = content(out)
    assert found.keys() == wanted.keys()
    for name in ("model.safetensors", "source.json"):
        assert found[name] == wanted[name]
    (out / "config.json").unlink()  # as if killed before it was written
    for name in found.keys() - {"config.json", "source.json"}:
        (out / name).unlink()
    (out / "last").rmdir()
    train(out, resume=True)
    assert content(out)["model.safetensors"] == wanted["model.safetensors"]
    with pytest.raises(ModelFolderError, match="holds no run to go on with"):
        train(tmp_path / "typo", resume=True)


def test_a_launcher_repeats_the_command_that_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some run")
    train(tmp_path / "alone", resume=True)
    wanted = content(tmp_path / "alone")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    train(tmp_path / "plain")
    found = content(tmp_path / "plain")
    assert found["model.safetensors"] == wanted["model.safetensors"]


def test_what_a_loaded_model_says_of_itself_is_about_its_own_weights(
    out: Path, tmp_path: Path
) -> None:
    """Its folder holds another model by then."""
    old = regard.load(out)
    network, history, data = old.network.state_dict(), old.history.records, dict(old.data_facts)
    train(out, overwrite=True, settings={"seed": 5}, rows=ROWS[2:])
    assert (old.history.records, dict(old.data_facts)) == (history, data)
    with pytest.warns(UserWarning, match="not kept: .* other weights than when this model"):
        trust(old, ROWS[:6], texts=2)
    assert not (out / "trust.json").exists()
    old.save(tmp_path / "copy")
    again = regard.load(tmp_path / "copy")
    assert again.history.records == history
    assert all(tensor.equal(network[name]) for name, tensor in again.network.state_dict().items())


def test_the_card_names_its_weights_and_goes_with_them(out: Path) -> None:
    def named() -> bool:
        card = (out / "README.md").read_text()
        return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest() in card

    assert named()
    train(out, resume=True)
    assert named()
    stopped = out.parent / "stopped"
    train(stopped, settings={"minutes": 1e-9})
    out = stopped
    assert named()

    def no_card() -> None:
        assert not (out / "README.md").exists()

    seen = At(None, no_card)
    seen.on_validation_end = lambda metrics, *, best: no_card()  # type: ignore[method-assign]
    model = train(out, resume=True, callback=seen)
    assert len(model.history.validations) > 1
    assert named()


def test_a_saved_model_is_replaced_whole(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, model = content(out), train(out.parent / "other", settings={"seed": 5})

    def full(*_: object, **__: object) -> None:
        raise RegardError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_weights", full)
        with pytest.raises(RegardError, match="full"):
            model.save(out, overwrite=True)
    assert content(out) == before
    with locked(out, "train"), pytest.raises(InputError, match="is being written by"):
        model.save(out, overwrite=True)
    assert content(out) == before
    model.save(out, overwrite=True)
    assert content(out)["model.safetensors"] == content(model.folder)["model.safetensors"]  # type: ignore[arg-type]
    assert not list(out.rglob(".*"))
