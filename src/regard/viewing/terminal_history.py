"""Histories of runs as lines of text: a small curve for each figure, with its first, last and best value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regard.errors import InputError
from regard.viewing.figure.history import axis_of, best_point, curves_of

__all__ = ["history_lines"]

_BARS = "▁▂▃▄▅▆▇█"


def history_lines(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], *, columns: int = 40
) -> list[str]:
    """Curves of runs as text. Runs share the scale of each figure, so that heights can be compared.

    Args:
        runs: entries of `history.jsonl` by the name of the run.
        columns: of a curve; of more points each column is the mean of some.

    Raises:
        InputError: a run without numbers.
    """
    found = {name: curves_of(entries) for name, entries in runs.items()}
    for name, curves in found.items():
        if not curves:
            raise InputError(f"no numbers to draw in {name}")
    lines = []
    quantities = dict.fromkeys(quantity for curves in found.values() for quantity in curves)
    side = max(len(name) for name in runs) if len(runs) > 1 else 0
    for quantity in quantities:
        lines.append(quantity.replace("_", " "))
        shown = [curves[quantity] for curves in found.values() if quantity in curves]
        values = [y for splits in shown for points in splits.values() for _, y in points]
        low, high = min(values), max(values)
        for name, entries in runs.items():
            for split, points in found[name].get(quantity, {}).items():
                x, best = best_point(quantity, points)
                place = f"  best {best:.4g} at {axis_of(entries) or 'entry'} {x:g}"
                curve = _curve([y for _, y in points], low, high, columns)
                ends = f"{points[0][1]:>8.4g} {curve} {points[-1][1]:<8.4g}"
                run = name.ljust(side) + "  " if side else ""
                lines.append(
                    f"  {run}{split:<10} {ends}{place if split != 'training' else ''}".rstrip()
                )
    return lines


def _curve(values: Sequence[float], low: float, high: float, columns: int) -> str:
    parts = np.array_split(np.asarray(values, float), min(columns, len(values)))
    heights = [(part.mean() - low) / (high - low) if high > low else 0.5 for part in parts]
    bars = "".join(_BARS[min(len(_BARS) - 1, int(height * len(_BARS)))] for height in heights)
    return bars.ljust(columns)
