"""Training in several processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from regard.training.checkpoint import read_run

TOY = Path(__file__).parent / "toy.py"
ELASTIC = Path(__file__).parent / "elastic.py"


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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo over the loopback device")
def test_a_node_that_dies_is_replaced(toy: ModuleType, tmp_path: Path) -> None:
    """Two agents of torchrun: the second is killed with its process, a third takes its place."""
    pytest.importorskip("accelerate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    command += ["--nproc_per_node", "1", "--max_restarts", "3", "--local_addr", "127.0.0.1"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", "x"]

    def agent(name: str, *words: str) -> subprocess.Popen[bytes]:
        where = ["--rdzv_conf", f"is_host={int(name == 'first')}", str(ELASTIC), str(tmp_path)]
        with open(tmp_path / f"{name}.txt", "wb") as said:
            return subprocess.Popen([*command, *where, *words], env=environment, stderr=said)

    with ExitStack() as started:
        first, second = agent("first"), agent("second", "dies")
        started.callback(first.kill)
        started.callback(second.kill)
        assert second.wait(200) == -signal.SIGKILL
        third = agent("third")
        started.callback(third.kill)
        assert first.wait(200) == 0, (tmp_path / "first.txt").read_text()[-3000:]
        assert third.wait(60) == 0, (tmp_path / "third.txt").read_text()[-3000:]
    _, together, _ = read_run(tmp_path)
    assert together.losses == pytest.approx(toy.run(None, dropout=0.0).losses, rel=1e-5)
