"""Cores that this process may run on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regard.compiled import cores


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cores, "_TOPOLOGY", f"{tmp_path}/cpu{{}}")
    return tmp_path


def test_threads_of_one_core_count_once(four_threads: Path) -> None:
    for processor, siblings in enumerate(["5", "a", "5", "a"]):
        (four_threads / f"cpu{processor}").write_text(siblings + "\n")
    assert cores.physical_cores() == 2


def test_every_thread_counts_where_the_topology_is_hidden(four_threads: Path) -> None:
    assert cores.physical_cores() == 4


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores.physical_cores() is None
