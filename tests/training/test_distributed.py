"""Training in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from regard.training.checkpoint import read_run

TOY = Path(__file__).parent / "toy.py"


@pytest.mark.dependency
@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    alone = toy.run(None, dropout=0.0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", "0"]
    subprocess.run(
        [*command, str(TOY), str(tmp_path), "plain"], env=environment, check=True, timeout=100
    )
    _, together, _ = read_run(tmp_path)
    assert together.losses == pytest.approx(alone.losses, rel=1e-5)
    best, wanted = together.best("accuracy"), alone.best("accuracy")
    assert best is not None
    assert wanted is not None
    assert best["valid_accuracy"] == wanted["valid_accuracy"]
