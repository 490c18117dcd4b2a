"""Processes of their own, over gloo: equal answers, and no hang when one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.dependency,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and gloo over the loopback device"),
]


def run(what: str) -> dict[str, Any]:
    """What the processes of `group.py` found, by their rank."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(Path(__file__).parent / "group.py"), what]
    finished = subprocess.run(
        command, env=environment, check=True, timeout=150, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_two_to_four_processes_have_the_answers_of_one() -> None:
    found = run("equal")
    assert len(found["0"]) == 6
    assert [len(found[rank]) for rank in "123"] == [6, 4, 2]
    assert max(value for one in found.values() for value in one.values()) < 2e-6


@pytest.mark.parametrize("what", ["killed", "stuck"])
def test_a_process_that_fails_ends_all_with_an_error(what: str) -> None:
    found = run(what)
    assert sorted(found) == ["0", "2"]
    for rank, answer in found.items():
        assert f"process {rank} of 3 was not able to send to" in answer["error"]
        assert "within 3 s" in answer["error"]
        assert answer["seconds"] < 30  # 3 on a machine that is not busy
