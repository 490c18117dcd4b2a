"""Learning-rate schedules, by hand."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.training import TrainingSettings, learning_rate

Schedule: TypeAlias = Literal["inverse_sqrt", "linear", "cosine", "constant"]


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 1, 0.25),  # a quarter of the warm-up
        ("inverse_sqrt", 4, 1.0),
        ("inverse_sqrt", 16, 0.5),  # sqrt(4 / 16)
        ("linear", 14, 0.5),  # ten of twenty after the warm-up
        ("linear", 24, 0.0),
        ("cosine", 9, (1 + math.cos(math.pi / 4)) / 2),
        ("cosine", 24, 0.0),
        ("constant", 24, 1.0),
    ],
)
def test_learning_rate_by_hand(schedule: Schedule, step: int, expected: float) -> None:
    settings = TrainingSettings(schedule=schedule, warmup=4, learning_rate=1.0)
    assert learning_rate(step, 24, settings) == pytest.approx(expected, abs=1e-12)


def test_a_short_run_still_reaches_its_learning_rate() -> None:
    settings = TrainingSettings(warmup=1000, learning_rate=1.0)
    assert max(learning_rate(step, 10, settings) for step in range(1, 11)) == 1.0


@given(st.sampled_from(["inverse_sqrt", "linear", "cosine", "constant"]), st.integers(1, 3000))
def test_learning_rate_stays_between_zero_and_the_setting(schedule: Schedule, step: int) -> None:
    settings = TrainingSettings(schedule=schedule, warmup=7, learning_rate=0.3)
    assert 0 <= learning_rate(step, 1000, settings) <= 0.3
