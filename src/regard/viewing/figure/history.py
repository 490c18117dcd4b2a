"""Training history as a figure: loss and metrics, training beside validation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regard.errors import InputError
from regard.viewing.figure import style

__all__ = [
    "axis_of",
    "best_point",
    "curves_of",
    "finish_panel",
    "lower_is_better",
    "mark_best",
    "panels_for",
    "plot_history",
]

_SPLITS = {"train": "training", "training": "training", "test": "test"} | dict.fromkeys(
    ("valid", "validation", "val", "dev"), "validation"
)
_COLORS = {"training": "#8a91a5", "validation": "#2d4fd0", "test": "#0f7d6b"}
_STEPS = ("step", "epoch")
_BOOKKEEPING = frozenset(
    ("seconds", "time", "lr", "learning_rate", "tokens", "examples", "updates", "gradient_norm")
)
_LOWER_IS_BETTER = ("loss", "perplexity", "error", "rate", "nll")


def plot_history(entries: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """One panel for the loss and one per metric, from the lines of a `history.jsonl`.

    Each entry is one point: `step` or `epoch`, and quantities named for their split, such as
    `train_loss`, `valid_loss`, `valid_bleu`. A quantity without a split is the training one when
    it is `loss`, else validation. The best validation value is marked.
    """
    curves = curves_of(entries)
    if not curves:
        raise InputError(
            f"no numbers to draw in {len(entries)} entries; expected keys such as train_loss, "
            "valid_loss or valid_accuracy"
        )
    figure, panels = panels_for(len(curves), title)
    for axes, (name, splits) in zip(panels, curves.items(), strict=True):
        _panel(axes, name, splits, axis_of(entries))
    return figure


def axis_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """What the points of a history are along: `step`, `epoch`, or nothing but their number."""
    return next((name for name in _STEPS if any(name in e for e in entries)), "")


def panels_for(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure with a title and so many empty panels, in rows of at most three."""
    across = 2 if count == 4 else min(3, count)
    down = -(-count // across)
    wide, tall = (style.PAGE_WIDTH if across > 1 else 3.6) / across, 2.0
    figure = style.new_figure(wide * across, down * (tall + 0.35) + 0.4)
    panels = []
    for number in range(count):
        row, column = divmod(number, across)
        left, bottom = column * wide + 0.45, (down - row - 1) * (tall + 0.35) + 0.4
        total = figure.get_size_inches()
        axes = figure.add_axes(
            (
                left / total[0],
                bottom / total[1],
                (wide - 0.62) / total[0],
                (tall - 0.45) / total[1],
            )
        )
        panels.append(axes)
    y = down * (tall + 0.35) + 0.02
    for line, look in reversed(style.heading_lines(title, "", style.PAGE_WIDTH)):
        drawn = figure.text(0.1 / figure.get_figwidth(), y / figure.get_figheight(), line, **look)
        style.set_family([drawn])
        y += look["fontsize"] * 1.6 / 72
    return figure, panels


def curves_of(
    entries: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Points by quantity and split, loss first, otherwise in the order met."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for number, entry in enumerate(entries, start=1):
        at = next((entry[name] for name in _STEPS if name in entry), number)
        for key, value in entry.items():
            split, quantity = _split_and_quantity(key)
            numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if key in _STEPS or quantity in _BOOKKEEPING or not numeric or not np.isfinite(value):
                continue
            curves.setdefault(quantity, {}).setdefault(split, []).append((at, float(value)))
    return dict(sorted(curves.items(), key=lambda item: item[0] != "loss"))


def _split_and_quantity(key: str) -> tuple[str, str]:
    """`valid_bleu` -> validation, bleu."""
    head, _, rest = key.replace("/", "_").replace(".", "_").partition("_")
    if head in _SPLITS and rest:
        return _SPLITS[head], rest
    return ("training" if key == "loss" else "validation"), key


def _panel(axes: Axes, name: str, splits: dict[str, list[tuple[float, float]]], along: str) -> None:
    for split in (s for s in _COLORS if s in splits):
        x, y = np.array(splits[split]).T
        marker = "o" if len(x) <= 30 else ""
        axes.plot(
            x, y, color=_COLORS[split], lw=1.4, label=split, marker=marker, ms=2.5, clip_on=False
        )
    if "validation" in splits:
        mark_best(axes, name, splits["validation"], _COLORS["validation"])
    finish_panel(axes, name, along, {x for points in splits.values() for x, _ in points})
    if len(splits) > 1:
        axes.legend(
            fontsize=style.SMALL_SIZE,
            frameon=False,
            handlelength=1.2,
            labelcolor=style.TEXT_COLOR,
            loc="best",
        )


def finish_panel(axes: Axes, name: str, along: str, positions: Collection[float]) -> None:
    """Draw axes, grid and heading of a panel.

    Args:
        axes: with its curves.
        name: of the quantity.
        along: what its points are along.
        positions: of all points.
    """
    axes.margins(y=0.14)  # room for the number at the best point
    style.apply_to(axes)
    axes.spines["left"].set_visible(True)
    axes.spines["bottom"].set_visible(True)
    for spine in axes.spines.values():
        spine.set_color(style.RULE_COLOR)
    axes.grid(axis="y", color=style.RULE_COLOR, lw=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(positions) == 1:  # between two whole numbers the locator would find fractions
        axes.set_xticks(list(positions))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=style.SMALL_SIZE, labelcolor=style.MUTED_COLOR)
    axes.set_xlabel(along, fontsize=style.SMALL_SIZE, color=style.MUTED_COLOR, labelpad=2)
    heading = style.label_line(name.replace("_", " "))
    title = axes.set_title(
        heading, fontsize=style.BODY_SIZE, color=style.TEXT_COLOR, loc="left", pad=6
    )
    style.set_family([title])


def lower_is_better(name: str) -> bool:
    """Return `True` for losses, perplexities and errors."""
    return any(word in name for word in _LOWER_IS_BETTER)


def best_point(name: str, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The point with the best value of a quantity; of equals, the earliest."""
    return (min if lower_is_better(name) else max)(points, key=lambda point: point[1])


def mark_best(axes: Axes, name: str, points: Sequence[tuple[float, float]], color: str) -> None:
    """Mark the best point of a curve with its value."""
    lower = lower_is_better(name)
    x, y = best_point(name, points)
    axes.plot([x], [y], "o", ms=5, mfc="white", mec=color, mew=1.4, zorder=5)
    axes.annotate(
        f"{y:.4g}",
        (x, y),
        xytext=(0, -6 if lower else 6),
        textcoords="offset points",
        ha="center",
        va="top" if lower else "bottom",
        fontsize=style.SMALL_SIZE,
        color=color,
    )
