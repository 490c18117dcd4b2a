"""Files: whole or not at all, and refused when they are not what they should be."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regard.errors import ModelFolderError, RegardError
from regard.files import atomic_write, remove_unfinished
from regard.training import History, load_weights, save_weights
from regard.training.checkpoint import RUN_FILE, Running, RunState, read_run, save_run


class Tied(nn.Module):
    def __init__(self, size: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(3, size, bias=False)
        self.second = nn.Linear(3, size)
        self.second.weight = self.first.weight


def test_weights_come_back_and_tied_ones_stay_tied(tmp_path: Path) -> None:
    saved, found = Tied(), Tied()
    save_weights(saved, tmp_path / "model.safetensors")
    load_weights(found, tmp_path / "model.safetensors")
    assert torch.equal(found.second.weight, saved.first.weight)
    assert found.first.weight is found.second.weight
    assert torch.equal(found.second.bias, saved.second.bias)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o044 == 0o044 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("keep", [0, 7, 60, 0.5, 0.99])
def test_a_cut_off_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(Tied(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ModelFolderError, match="damaged"):
        load_weights(Tied(), path)


def test_the_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(Tied(), path)
    with pytest.raises(ModelFolderError, match=r"'first.weight' has shape \(5, 3\).* \(7, 3\)"):
        load_weights(Tied(7), path)
    with pytest.raises(ModelFolderError, match=r"holds 'first\.weight', which the model"):
        load_weights(nn.Linear(3, 5), path)
    save_weights(nn.Sequential(nn.Linear(3, 5)), path)
    with pytest.raises(ModelFolderError, match=r"lacks '1\.bias' \(2 of 4 tensors\)"):
        load_weights(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3)), path)


def test_state_and_history_come_back(tmp_path: Path) -> None:
    state = RunState(step=7, epoch=2, batches_done=3, best=0.5, running=Running(1.5, 20.0, 0.25, 2))
    history = History([{"step": 7, "train_loss": 0.1 + 0.2}])
    save_run(tmp_path, state, history, {"model/w": torch.tensor([0.1])})
    found, records, tensors = read_run(tmp_path)
    assert found == state
    assert records.records == history.records
    assert torch.equal(tensors["model/w"], torch.tensor([0.1]))


def test_the_state_of_format_1_is_read(tmp_path: Path) -> None:
    old = {
        "step": 7, "epoch": 2, "position": 3, "seconds": 1.5, "targets": 40.0, "validated": 5,
        "due": True, "best": 0.5, "waited": 1, "stretch": [1.5, 20.0, 0.25, 2],
    }  # fmt: skip
    (tmp_path / RUN_FILE).parent.mkdir()
    header = {"state": json.dumps(old), "history": "[]"}
    save_file({"model/w": torch.tensor([0.1])}, tmp_path / RUN_FILE, metadata=header)
    assert read_run(tmp_path)[0] == RunState(
        step=7,
        epoch=2,
        batches_done=3,
        seconds=1.5,
        targets=40.0,
        validated_step=5,
        validation_pending=True,
        best=0.5,
        validations_since_best=1,
        running=Running(1.5, 20.0, 0.25, 2),
    )


def test_a_foreign_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).parent.mkdir()
    save_weights(Tied(), tmp_path / RUN_FILE)
    with pytest.raises(ModelFolderError, match="not the state of a run"):
        read_run(tmp_path)


def test_a_full_disk_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(Tied(), path)
    former = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegardError, match="disk is full"):
        save_weights(Tied(), path)
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]


def test_a_really_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    def write() -> None:
        with atomic_write(tmp_path / "x") as file:
            file.symlink_to("/dev/full")
            file.write_text("something")

    with pytest.raises(RegardError, match="disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path, toy: ModuleType) -> None:
    (tmp_path / ".model.safetensors.4711.unfinished").write_text("half")
    (tmp_path / "mine").write_text("whole")
    remove_unfinished(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_best_of_a_history() -> None:
    records = [
        {"step": s, "valid_loss": v, "valid_bleu": b}
        for s, v, b in ((1, 3.0, 10.0), (2, 2.0, 9.0), (3, 2.0, 10.0))
    ]
    history = History(records)
    assert history.best("loss") == records[1]
    assert history.best("bleu") == records[0]
    assert history.best("rouge") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(
            RegardError, match=r"x\.json: cannot be written \(No such file or directory\)"
        ),
        atomic_write(tmp_path / "nowhere" / "x.json") as file,
    ):
        file.write_text("{}")
