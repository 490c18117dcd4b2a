"""Weights and run states on disk: read back exactly, refused when damaged or foreign."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regard.errors import ModelFolderError, RegardError
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


def test_mapped_weights_are_those_of_the_file_and_tied_ones_stay_tied(tmp_path: Path) -> None:
    saved, found = Tied(), Tied()
    save_weights(saved, tmp_path / "model.safetensors")
    load_weights(found, tmp_path / "model.safetensors", mapped=True)
    assert torch.equal(found.second.weight, saved.first.weight)
    assert torch.equal(found.second.bias, saved.second.bias)
    assert found.first.weight is found.second.weight
    assert found.first.weight.requires_grad
    maps = Path("/proc/self/maps").read_text().splitlines()
    (mapping,) = (line.split()[0] for line in maps if str(tmp_path / "model.safetensors") in line)
    low, high = (int(end, 16) for end in mapping.split("-"))
    assert all(low <= each.data_ptr() < high for each in found.parameters())


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
    with pytest.raises(
        ModelFolderError, match=r"lacks 'bias', 'weight' \(2 of 2 tensors\); holds 'first\.weight'"
    ):
        load_weights(nn.Linear(3, 5), path)
    save_weights(nn.Sequential(nn.Linear(3, 5)), path)
    with pytest.raises(ModelFolderError, match=r"lacks '1\.bias', '1\.weight' \(2 of 4 tensors\)"):
        load_weights(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3)), path)


def test_state_and_history_come_back(tmp_path: Path) -> None:
    state = RunState(step=7, epoch=2, batches_done=3, running=Running(1.5, 20.0, 0.25, 2))
    state.since_validation = Running(2.5, 30.0, 0.5, 3)
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
