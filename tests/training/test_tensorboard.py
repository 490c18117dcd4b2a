"""The history of a run as TensorBoard reads it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.dependency
@pytest.mark.slow
def test_tensorboard_gets_every_number(toy: ModuleType, tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = toy.run(tmp_path, epochs=1, tensorboard=True)
    events = loading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")]
    assert [(r["step"], r["train_loss"]) for r in history if "train_loss" in r] == found
    assert len(events.Scalars("valid/accuracy")) == 1
