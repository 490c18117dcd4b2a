"""Weights that are divided over processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from regard.errors import SettingsError
from regard.training.sharding import OLDEST_TORCH, _blocks, local, part_of, twin, whole

PROGRAM = Path(__file__).parent / "sharded.py"


@pytest.mark.dependency
@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST_TORCH,
    reason="the backward pass of fully_shard fails with torch 2.11",
)
def test_divided_weights_learn_as_whole_ones_do(toy: ModuleType, tmp_path: Path) -> None:
    """Gradients in float64, losses of one process, and an interrupted run that goes on to the same losses."""
    pytest.importorskip("accelerate")
    alone = toy.run(None, dropout=0.0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    found = subprocess.run(
        [*command, str(PROGRAM), str(tmp_path)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert losses["plain"] == pytest.approx(alone.losses, rel=1e-5)
    few = toy.run(None, dropout=0.0, of=toy.lonely)
    assert losses["few"] == pytest.approx(few.losses, rel=1e-5)
    assert losses["resumed"] == losses["whole"]


def test_layers_that_share_weights_are_refused() -> None:
    class Layer(nn.Linear):
        sharded_methods = ()

    first, second = Layer(2, 2), Layer(2, 2)
    second.weight = first.weight
    with pytest.raises(SettingsError, match="weight of a Layer is shared"):
        list(_blocks(nn.ModuleList([first, second])))


def test_a_twin_shares_the_memory_of_the_weights_alone() -> None:
    first, norm = nn.Linear(2, 3), nn.BatchNorm1d(3)
    first.bias.requires_grad_(False)
    model = nn.ModuleList([nn.Sequential(first, norm), first])
    copied = twin(model)
    assert copied[1] is next(copied[0].children())
    assert copied[1] is not first
    for ours, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        assert ours is not theirs
        assert ours.data_ptr() == theirs.data_ptr()
        assert ours.requires_grad == theirs.requires_grad
    for mine, given in zip(copied.buffers(), model.buffers(), strict=True):
        assert mine.data_ptr() != given.data_ptr()


def test_what_is_not_divided_stays_as_it_is() -> None:
    tensor = torch.arange(3.0)
    assert local(tensor) is tensor
    assert whole(tensor) is not None
    copied = part_of(tensor, tensor)
    copied += 1
    assert tensor.tolist() == [0, 1, 2]
