"""Histories of several runs in one figure."""

from __future__ import annotations

import numpy as np
import pytest

from regard.errors import InputError
from regard.viewing.figure import plot_history, plot_runs

ONE = [
    {"step": 1, "train_loss": 3.0},
    {"step": 2, "train_loss": 2.0, "valid_loss": 2.5, "valid_bleu": 1.0},
    {"step": 4, "valid_loss": 2.0, "valid_bleu": 7.0},
]
OTHER = [{"step": 3, "valid_loss": 1.0, "valid_accuracy": 0.5}]


def test_a_panel_for_each_figure_that_any_run_has() -> None:
    figure = plot_runs({"one": ONE, "other": OTHER})
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == ["loss", "bleu", "accuracy"]
    drawn = [np.asarray(line.get_xydata()) for line in panels["loss"].lines]
    assert [points.tolist() for points in drawn if len(points) > 1] == [
        [[1, 3], [2, 2]], [[2, 2.5], [4, 2]],
    ]  # fmt: skip
    assert [text.get_text() for text in panels["loss"].texts] == ["2", "1"]
    assert [text.get_text() for text in panels["bleu"].texts] == ["7"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["one", "other", "training", "validation"]


def test_one_run_is_drawn_as_its_history() -> None:
    assert len(plot_runs({"one": ONE}).axes) == len(plot_history(ONE).axes) == 2
    assert plot_runs({"one": ONE}).texts[0].get_text() == "one"


def test_a_run_without_numbers_is_named() -> None:
    with pytest.raises(InputError, match="no numbers to draw in empty"):
        plot_runs({"one": ONE, "empty": [{"step": 1}]})
    with pytest.raises(InputError, match="no runs"):
        plot_runs({})
