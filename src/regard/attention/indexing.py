"""Parts of an attention matrix by their indices: only the rows that are named are made."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.problem import RowSource
from regard.shapes import Array

__all__ = ["pick"]


def pick(source: RowSource, lead: tuple[Any, ...], rows: Any, columns: Any) -> Array:
    """`dense[(*lead, rows, columns)]`, of a source's matrix with the user's axes."""
    layout = source.layout
    inner: int | slice = slice(None)
    if isinstance(rows, int | np.integer):
        row = range(layout.queries)[rows]
        spans, inner = [slice(row, row + 1)], 0
    elif isinstance(rows, slice) and rows.step in (None, 1):
        start, stop, _ = rows.indices(layout.queries)
        spans = _cut(source.tiles(), start, max(start, stop))
    else:
        places = np.arange(layout.queries)[rows if isinstance(rows, slice) else to_numpy(rows)]
        alone = isinstance(rows, slice) or all(map(_is_plain, (*lead, columns)))
        if places.ndim > 1 or not alone:
            return _pairs(source, lead, places, columns)
        spans = [slice(int(row), int(row) + 1) for row in places] or [slice(0, 0)]
    # Only what was asked of a tile is kept while the next is made.
    picked = [layout.restore(source.weights(span))[(*lead, inner, columns)] for span in spans]
    if len(picked) == 1:
        return picked[0]
    return layout.xp.concat(picked, axis=-1 if isinstance(columns, int | np.integer) else -2)


def _pairs(source: RowSource, lead: tuple[Any, ...], rows: np.ndarray, columns: Any) -> Array:
    """Places that several arrays name together, from the rows that hold them."""
    layout = source.layout
    named, places = np.unique(rows, return_inverse=True)
    parts = [source.weights(slice(int(row), int(row) + 1)) for row in named]
    if not parts:
        parts = [source.weights(slice(0, 0))]
    held = layout.xp.concat(parts, axis=2)
    held = layout.xp.reshape(held, (*layout.lead, *held.shape[2:]))
    return held[(*lead, layout.asarray(np.reshape(places, rows.shape)), columns)]


def _is_plain(index: Any) -> bool:
    """Whether an index is a number or a slice, which every library takes axis by axis."""
    return isinstance(index, int | np.integer | slice)


def _cut(tiles: list[slice], start: int, stop: int) -> list[slice]:
    """The parts of `tiles` between `start` and `stop`; one empty part if there is nothing."""
    parts = [slice(max(t.start, start), min(t.stop, stop)) for t in tiles]
    return [part for part in parts if part.start < part.stop] or [slice(start, start)]
