"""Indexing of an attention matrix that is not stored: only the rows an index names are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.problem import RowSource
from regard.shapes import Array

__all__ = ["complete_index", "index_matrix"]


def complete_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """An index as a tuple of `ndim` entries, `...` and missing axes replaced by full slices.

    Raises:
        IndexError: more entries than axes.
    """
    entries: tuple[Any, ...] = index if isinstance(index, tuple) else (index,)
    ellipsis = next((n for n, entry in enumerate(entries) if entry is Ellipsis), None)
    if ellipsis is not None:
        filling = (slice(None),) * (ndim - len(entries) + 1)
        entries = entries[:ellipsis] + filling + entries[ellipsis + 1 :]
    entries += (slice(None),) * (ndim - len(entries))
    if len(entries) != ndim:
        raise IndexError(f"{len(entries)} indices for an attention map of {ndim} axes")
    return entries


def index_matrix(source: RowSource, index: tuple[Any, ...]) -> Array:
    """`dense[index]` of a source's matrix with the user's axes.

    Args:
        source: of the rows.
        index: one entry for each axis: a number, a slice or an array.

    Returns:
        What the array library returns for this index of the dense matrix.
    """
    *leading, rows, columns = index
    layout = source.layout
    inner: int | slice = slice(None)  # of the rows of one span
    if isinstance(rows, int | np.integer):
        row = range(layout.queries)[rows]
        spans, inner = [slice(row, row + 1)], 0
    elif isinstance(rows, slice) and rows.step in (None, 1):
        start, stop, _ = rows.indices(layout.queries)
        spans = _clip_tiles(source.tiles(), start, max(start, stop))
    else:
        wanted = np.arange(layout.queries)[rows if isinstance(rows, slice) else to_numpy(rows)]
        only_array = isinstance(rows, slice) or all(map(_is_basic, (*leading, columns)))
        if wanted.ndim > 1 or not only_array:
            return _index_together(source, leading, wanted, columns)
        spans = [slice(int(row), int(row) + 1) for row in wanted] or [slice(0, 0)]
    # Only the indexed part of a tile is kept while the next tile is computed.
    parts = [layout.restore(source.weights(span))[(*leading, inner, columns)] for span in spans]
    if len(parts) == 1:
        return parts[0]
    return layout.xp.concat(parts, axis=-1 if isinstance(columns, int | np.integer) else -2)


def _index_together(source: RowSource, leading: list[Any], rows: np.ndarray, columns: Any) -> Array:
    """Entries that several index arrays name together, as `dense[rows, columns]` of NumPy.

    The rows that occur are computed once each; the index arrays are then applied to those, with the
    number of a row replaced by its position among them.
    """
    layout = source.layout
    distinct, positions = np.unique(rows, return_inverse=True)
    parts = [source.weights(slice(int(row), int(row) + 1)) for row in distinct]
    if not parts:
        parts = [source.weights(slice(0, 0))]
    weights = layout.restore(layout.xp.concat(parts, axis=2))
    return weights[(*leading, layout.asarray(np.reshape(positions, rows.shape)), columns)]


def _is_basic(index: Any) -> bool:
    """Whether an index is a number or a slice, which every library applies axis by axis."""
    return isinstance(index, int | np.integer | slice)


def _clip_tiles(tiles: list[slice], start: int, stop: int) -> list[slice]:
    """The parts of `tiles` between `start` and `stop`; one empty slice if there are none."""
    parts = [slice(max(t.start, start), min(t.stop, stop)) for t in tiles]
    return [part for part in parts if part.start < part.stop] or [slice(start, start)]
