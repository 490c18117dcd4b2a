"""Histories of runs as text."""

from __future__ import annotations

import pytest

from regard.errors import InputError
from regard.viewing.terminal_history import history_lines

ONE = [{"step": n, "train_loss": 4.0 - n, "valid_loss": 5.0 - n} for n in range(1, 5)]


def test_curves_share_a_scale_and_the_best_is_told() -> None:
    lines = history_lines({"a": ONE, "bb": [{"step": 9, "valid_loss": 4.0}]}, columns=4)
    assert lines == [
        "loss",
        "  a   training          3 ▇▅▃▁ 0",
        "  a   validation        4 █▇▅▃ 1         best 1 at step 4",
        "  bb  validation        4 █    4         best 4 at step 9",
    ]


def test_many_points_are_averaged_into_columns() -> None:
    line = history_lines({"a": ONE}, columns=2)[1]
    assert line == "  training          3 ▆▂ 0"


def test_no_numbers() -> None:
    with pytest.raises(InputError, match="no numbers to draw in a"):
        history_lines({"a": [{"step": 1}]})
