"""Training from Python: rows in memory, a model in memory that is saved later, a bar of progress."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import regard
from regard.api import Classifier, Translator, evaluate
from regard.errors import InputError
from regard.training import Callback, Progress

QUICK = {"steps": 3, "warmup": 1, "members": 1}
TEXTS = [f"{word} {value}" for word in ("warm", "cold", "late", "kind") for value in range(8)]
ROWS = [(text, "good" if text[0] in "wk" else "bad") for text in TEXTS]


def trained(data: Any, **options: Any) -> Classifier:
    model = regard.train("classification", train=data, preset="tiny", settings=QUICK, **options)
    assert isinstance(model, Classifier)
    return model


@pytest.fixture(scope="module")
def model() -> Classifier:
    return trained(ROWS)


def test_a_model_in_memory_is_saved_as_if_trained_there(model: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "mood"
    assert model.folder is None
    assert model.history.losses
    model.save(out)
    assert model.folder == out
    there = tmp_path / "there"
    trained(ROWS, out=there)
    names = {path.name for path in there.iterdir()} - {"last"}
    assert {path.name for path in out.iterdir()} == names
    assert "\n---\n# mood\n\nA wide model for classification" in (out / "README.md").read_text()
    again = regard.load(out)
    assert isinstance(again, Classifier)
    assert again.classify(TEXTS[3])[0].probabilities == model.classify(TEXTS[3])[0].probabilities
    assert again.history.records == model.history.records
    assert evaluate(again, ROWS).note.startswith("no baseline")


def test_saving_replaces_nothing_unasked(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "one")
    before = (tmp_path / "one" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="already holds a model; overwrite=True replaces it"):
        model.save(tmp_path / "one")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "x.txt").write_text("dear")
    with pytest.raises(InputError, match="holds no model but other files"):
        model.save(tmp_path / "letters", overwrite=True)
    model.save(tmp_path / "one", overwrite=True)
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == before
    copy = regard.load(tmp_path / "one")
    copy.save(tmp_path / "two")
    assert copy.folder == tmp_path / "one"
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == before


def test_what_was_never_trained_cannot_be_saved(model: Classifier, tmp_path: Path) -> None:
    new = Classifier.from_examples(
        regard.data.read_rows(ROWS, regard.data.Labelled()), model.settings
    )
    assert new.history.records == []
    with pytest.raises(InputError, match="never trained"):
        new.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_rows_of_every_kind_train_the_same_model(model: Classifier) -> None:
    columns: dict[str, list[str]] = {
        "text": [text for text, _ in ROWS],
        "label": [label for _, label in ROWS],
    }
    for data in (pa.table(columns), columns, [{"text": t, "label": y} for t, y in ROWS]):
        again = trained(data, valid=ROWS[:5])
        assert again.labels == model.labels
        assert evaluate(again, data).examples == len(ROWS)
    named = trained(
        pa.table({"a": columns["text"], "b": columns["label"]}),
        columns=regard.data.Labelled("a", "b"),
    )
    assert named.labels == model.labels


def test_pairs_and_texts_in_memory_are_data() -> None:
    pairs = [(f"{word} haus", f"{word} house") for word in "abcdefghij"]
    small = {"steps": 2, "width": 8, "heads": 2, "feedforward": 8, "tokenizer": "char"}
    model = regard.train("translation", train=pairs, preset="tiny", settings=small)
    assert isinstance(model, Translator)
    assert model.translate("a haus")
    texts = [{"text": f"{word} house and {word} home"} for word in "abcdefghij"]
    assert regard.train("language", train=texts, preset="tiny", settings=small).history.losses


def test_progress_is_shown_and_others_are_informed_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps: list[int] = []

    class Counting(Callback):
        def on_step(self, progress: Progress) -> None:
            steps.append(progress.step)

    trained(ROWS, progress=True, callback=Counting())
    assert steps[-1] == 3
    shown = capsys.readouterr()
    assert "held out" in shown.err
    assert "accuracy" in shown.err
    assert shown.out == ""
    trained(ROWS)
    assert capsys.readouterr().err == ""


KILLED = """
import os, signal, sys
import regard
from regard.training import Callback

class Killer(Callback):
    def on_validation_start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

rows = [(f"{word} {value}", word) for word in ("warm", "cold") for value in range(8)]
regard.train("classification", train=rows, preset="tiny", settings={"steps": 1}, callback=Killer())
"""


@pytest.mark.slow
def test_what_a_killed_process_left_is_deleted_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("regard-*"))) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / "regard-model-of-somebody-else"
    other.mkdir()
    used: list[int] = []

    class Second(Callback):
        def on_step(self, progress: Progress) -> None:
            if not used:
                used.append(progress.step)
                trained(ROWS)  # must not take the folder of the run around it for abandoned

    trained(ROWS, callback=Second())
    assert used
    assert list(tmp_path.glob("regard-*")) == [other]


def test_a_folder_whose_lock_is_being_taken_is_not_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in another thread or process has opened its lock file, and not locked it yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = tmp_path / "regard-model-of-another-run"
    begun.mkdir()
    (begun / ".lock").touch()
    trained(ROWS)
    assert (begun / ".lock").is_file()
