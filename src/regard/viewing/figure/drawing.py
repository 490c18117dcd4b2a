"""A record as a figure for a page or a paper: PNG, SVG or PDF.

Drawn with matplotlib's objects, so nothing global changes; the same record gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from regard.errors import InputError, SettingsError, nearest
from regard.files import atomic_write
from regard.viewing.colors import Scale
from regard.viewing.data.record import Record
from regard.viewing.data.summary import Heads
from regard.viewing.figure import style, views

__all__ = ["draw", "write"]

_VIEWS: dict[str, Callable[[Record, Heads, Scale], Figure]] = {
    "map": views.attention_map,
    "heads": views.head_grid,
    "layers": views.layer_overview,
    "alignment": views.alignment,
    "highlight": views.highlight,
}
# The same bytes for the same picture: no date, and ids in SVG that do not depend on addresses.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "regard", "svg.fonttype": "path", "pdf.fonttype": 42}


def draw(
    record: Record,
    *,
    view: str | None = None,
    heads: Heads = "mean",
    scale: Scale = "linear",
) -> Figure:
    """A matplotlib figure of a record.

    Args:
        record: what to draw; `record.select(...)` chooses a map among several.
        view: `"map"` (both token axes), `"heads"` (a grid of one layer's heads), `"layers"` (every
            layer and head, small), `"alignment"` (lines between two texts) or `"highlight"` (one
            reader's text, shaded). By default the one that fits the record.
        heads: the mean or maximum over heads, or one head from 0.
        scale: `"linear"`, `"log"` or `"row"`.
    """
    if view is None:
        several = len(record.tracks) > 1
        pooling = record.tracks[0].shape[0] == 1
        view = "layers" if several else "highlight" if pooling else "map"
    if view not in _VIEWS:
        raise SettingsError(f"unknown view {view!r}; {nearest(view, _VIEWS)}")
    drawn = _VIEWS[view](record, heads, scale)
    if record.verdict:
        style.footnote(drawn, record.verdict)
    return drawn


def write(figure: Figure, path: str | Path, *, dpi: int = 200) -> Path:
    """Write a figure as PNG, SVG or PDF, by suffix; the file appears whole or not at all."""
    path = Path(path)
    format = path.suffix.lower()[1:]
    if format not in _METADATA:
        raise InputError(f"cannot save to {path.name!r}: {nearest(format, _METADATA)}")
    buffer = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(
            buffer,
            format=format,
            dpi=dpi,
            bbox_inches="tight",
            pad_inches=0.06,
            facecolor="white",
            metadata=_METADATA[format],
        )
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(buffer.getvalue())
    return path
