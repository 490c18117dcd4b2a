"""Temporary folders of runs: gone with the run, and with the next one if the run was killed."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import torch

import regard
from regard.api.storage.temporary import temporary_folder
from regard.training import Interrupted


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("doing", ["train", "fit"])
def test_whoever_comes_next_deletes_what_a_killed_run_left(tmp_path: Path, doing: str) -> None:
    killed = tmp_path / "regard-fit-killed"
    killed.mkdir()
    # As a process that was killed leaves it, before the machine was started again.
    holder = {"pid": 1, "host": os.uname().nodename, "boot": "an earlier one", "started": "0"}
    (killed / ".lock").write_text(json.dumps({**holder, "since": "then", "doing": "fit"}))
    with temporary_folder("fit") as living, temporary_folder(doing) as folder:
        assert living.is_dir()
        assert folder.is_dir()
        assert not killed.exists()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fit_leaves_none(tmp_path: Path) -> None:
    def data(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        raise Interrupted(None, 15)  # as a signal does while the data is read

    with pytest.raises(Interrupted):
        regard.fit(torch.nn.Linear(1, 1), data, loss=torch.nn.MSELoss(), progress=False)
    assert list(tmp_path.iterdir()) == []
