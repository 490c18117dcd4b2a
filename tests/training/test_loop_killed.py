"""Runs in a process of their own that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from regard.training.checkpoint import read_run

TOY = Path(__file__).parent / "toy.py"


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("WORLD_SIZE", None)
    command = [sys.executable, str(TOY), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def killed_at(step: int, number: int, out: Path) -> subprocess.Popen[str]:
    process = start(out, "slow")
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == step:
            process.send_signal(number)
            break
    process.communicate(timeout=60)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_run_resumes_to_the_same_losses(
    toy: ModuleType, tmp_path: Path, number: int
) -> None:
    process = killed_at(11, number, tmp_path)
    assert process.returncode != 0
    # In the middle of the second epoch, and nothing is left half-written.
    state, _, _ = read_run(tmp_path)
    assert state.epoch == 1
    assert 0 < state.batches_done < len(toy.batches(1))
    resumed = start(tmp_path, "resume")
    output, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    assert json.loads(output) == toy.run(None).losses
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
def test_an_interrupted_run_saves_the_update_it_stopped_at(tmp_path: Path) -> None:
    killed_at(5, signal.SIGINT, tmp_path)
    assert read_run(tmp_path)[0].step in (5, 6, 7)
