"""Histories of several runs over each other: a panel for each figure, a colour for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from regard.errors import InputError
from regard.viewing.figure import style
from regard.viewing.figure.history import (
    axis_of,
    curves_of,
    finish_panel,
    mark_best,
    panels_for,
    plot_history,
)

__all__ = ["plot_runs"]

_RUN_COLORS = ("#2d4fd0", "#c2410c", "#0f7d6b", "#8b3fb5", "#a16207", "#475569")
"""Colours of the runs: told apart in print and by people who see few colours, with the line's dashes."""

_LINES = {"training": (0, (1.5, 1.5)), "validation": "solid", "test": (0, (4, 1.5))}


def plot_runs(runs: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str = "") -> Figure:
    """Draw the histories of runs, one panel for the loss and one per metric that any of them has.

    Training is dotted, validation solid, and the best validation of each run is marked with its value.

    Args:
        runs: entries of `history.jsonl` by the name of the run; see `plot_history`.
        title: of the figure.

    Raises:
        InputError: no run, or one without numbers.
    """
    if len(runs) == 1:
        ((name, entries),) = runs.items()
        return plot_history(entries, title=title or name)
    found = {name: curves_of(entries) for name, entries in runs.items()}
    empty = [name for name, curves in found.items() if not curves]
    if empty or not runs:
        raise InputError(f"no numbers to draw in {', '.join(empty) or 'no runs'}")
    quantities = list(dict.fromkeys(quantity for curves in found.values() for quantity in curves))
    along = {axis_of(entries) for entries in runs.values()}
    figure, panels = panels_for(len(quantities), title)
    colors = dict(zip(runs, cycle(_RUN_COLORS), strict=False))
    for axes, quantity in zip(panels, quantities, strict=True):
        positions = set()
        for name, curves in found.items():
            for split, points in curves.get(quantity, {}).items():
                x, y = np.array(points).T
                positions |= {*x.tolist()}
                axes.plot(x, y, color=colors[name], lw=1.4, ls=_LINES[split])
            if "validation" in curves.get(quantity, {}):
                mark_best(axes, quantity, curves[quantity]["validation"], colors[name])
                axes.texts[-1].set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        finish_panel(axes, quantity, " or ".join(sorted(along)), positions)
    handles = [Line2D([], [], color=color, lw=1.4, label=name) for name, color in colors.items()]
    splits = {split for curves in found.values() for each in curves.values() for split in each}
    handles += [
        Line2D([], [], color=style.MUTED_COLOR, lw=1.4, ls=line, label=split)
        for split, line in _LINES.items()
        if split in splits and len(splits) > 1
    ]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.06),
        ncols=min(5, len(handles)),
        fontsize=style.SMALL_SIZE,
        frameon=False,
        labelcolor=style.TEXT_COLOR,
    )
    style.set_family(legend.get_texts())
    return figure
