"""A record as a figure for a page or a paper: PNG, SVG or PDF.

Drawn with matplotlib's objects, so nothing global changes; the same record gives the same bytes.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regard.errors import InputError, SettingsError, nearest
from regard.files import atomic_write
from regard.viewing.colors import Scale
from regard.viewing.data.record import Record
from regard.viewing.data.summary import Heads
from regard.viewing.figure import views
from regard.viewing.figure.attributions import attributions
from regard.viewing.figure.fonts import warn_of_boxes
from regard.viewing.figure.sheet import Sheet
from regard.viewing.printable import printable

__all__ = ["draw", "write"]

_VIEWS: dict[str, Callable[[Record, Heads, Scale, Sheet], None]] = {
    "attributions": attributions,
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
# Text in SVG is text: it can be selected and found, and a viewer's fonts have what ours may lack.
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "regard", "svg.fonttype": "none", "pdf.fonttype": 42}


def draw(
    record: Record,
    *,
    view: str | None = None,
    heads: Heads = "mean",
    scale: Scale = "linear",
    ax: Axes | None = None,
    width: float | None = None,
    title: str | None = None,
) -> Figure:
    """A matplotlib figure of a record.

    Args:
        record: what to draw; `record.select(...)` chooses a map among several.
        view: `"attributions"` (what counts for a label, by every method), `"map"` (both token axes),
            `"heads"` (a grid of one layer's heads), `"layers"` (every layer and head, small),
            `"alignment"` (lines between two texts) or `"highlight"` (one reader's text, shaded). By
            default the one that fits the record.
        heads: the mean or maximum over heads, or one head from 0.
        scale: `"linear"`, `"log"` or `"row"`.
        ax: axes whose place is drawn on, so that the picture stands among others; by default the
            figure is new.
        width: of the figure in inches; by default as wide as it needs to be, at most a page (6.5).
        title: heading; by default that of the record (with `ax` none), and `""` leaves out the line of
            facts too, for a figure with a caption of its own.

    Raises:
        SettingsError: an unknown view or scale; a width that is not above 0, or given beside `ax`.
        InputError: a record that the view cannot show.

    Warns:
        UserWarning: once, naming the scripts, if no installed font has some characters.
    """
    if view is None:
        view = _fitting_view(record)
    if view not in _VIEWS:
        raise SettingsError(f"unknown view {view!r}; {nearest(view, _VIEWS)}")
    sheet = Sheet(ax, width, title)
    _VIEWS[view](record, heads, scale, sheet)
    if record.verdict:
        sheet.footnote(record.attention_verdict())
    pieces = (piece for tokens in record.tokens.values() for piece in tokens.pieces)
    warn_of_boxes(map(printable, itertools.chain(pieces, (record.title, record.verdict))))
    return sheet.result()


def _fitting_view(record: Record) -> str:
    if record.explanation is not None:
        return "attributions"
    first, *others = record.tracks
    if others:
        return "layers"
    return "highlight" if first.shape[0] == 1 else "map"


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
