"""Indexing of an attention matrix that is not stored: NumPy's rules, in every library.

An index is taken apart once (`parse_index`): axes that slices and numbers restrict, and axes that arrays
pick from together. Only the rows it names are then computed, a tile at a time, and only the entries it
names are kept (`index_matrix`). Libraries are asked for slices with positive steps and for arrays on the
first axes alone, where all of them agree.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.problem import RowSource
from regard.shapes import Array

__all__ = ["MatrixIndex", "index_matrix", "parse_index"]

Entry: TypeAlias = int | slice | np.ndarray | EllipsisType | None
"""One entry of an index; arrays hold int64, or Booleans that cover as many axes as they have."""


@dataclass(frozen=True)
class MatrixIndex:
    """An index of the matrix, taken apart.

    Attributes:
        ranges: the positions of each axis that a slice or a number restricts; steps may be negative.
        picks: for each axis that arrays pick from, the position of each entry they name together, flat.
        picked_shape: the shape of the index arrays, broadcast.
        picked_axis: how many axes of `ranges` come before the arrays' axes in the answer.
        shape: of the answer.
    """

    ranges: dict[int, range]
    picks: dict[int, np.ndarray]
    picked_shape: tuple[int, ...]
    picked_axis: int
    shape: tuple[int, ...]


def index_matrix(source: RowSource, index: Any) -> Array:
    """`dense[index]` of a source's matrix with the user's axes, as NumPy answers it.

    Args:
        source: of the rows.
        index: numbers, slices, `...`, `None`, and arrays or lists of integers or Booleans.

    Raises:
        IndexError: an index that NumPy refuses, or a single Boolean.
    """
    layout, xp = source.layout, source.layout.xp
    parsed = parse_index(index, layout.shape)
    row_axis = len(layout.shape) - 2
    # The picked axes in front, as one; the others in their order.
    others = [axis for axis in parsed.ranges if axis not in parsed.picks]
    sizes = [len(parsed.ranges[axis]) for axis in others]
    if row_axis in parsed.picks:
        answer = _picked_rows(source, parsed, row_axis)
    else:
        parts = [
            _part(
                layout.restore(source.weights(span)),
                parsed,
                {row_axis: slice(None)},
                parsed.picks,
                source,
            )
            for span in _spans(source, parsed.ranges[row_axis])
        ]
        axis = others.index(row_axis) + bool(parsed.picks)
        answer = parts[0] if len(parts) == 1 else xp.concat(parts, axis=axis)
    backwards = [
        others.index(axis) + bool(parsed.picks) for axis in others if parsed.ranges[axis].step < 0
    ]
    if backwards:
        answer = xp.flip(answer, axis=tuple(backwards))
    if parsed.picks:
        answer = xp.reshape(answer, (*parsed.picked_shape, *sizes))
        first = len(parsed.picked_shape)
        order = [*range(first, first + parsed.picked_axis), *range(first)]
        order += range(first + parsed.picked_axis, first + len(sizes))
        answer = xp.permute_dims(answer, tuple(order))
    return xp.reshape(answer, parsed.shape)


def _part(
    tile: Array,
    parsed: MatrixIndex,
    rows: dict[int, slice],
    picks: dict[int, Any],
    source: RowSource,
) -> Array:
    """The entries of a tile that an index names: the picked ones on the first axis, then the ranges.

    Args:
        tile: some rows of the matrix, with the user's axes.
        parsed: the index.
        rows: the slice of the tile's own rows, by their axis; empty where `picks` picks them.
        picks: positions in the tile, by axis.
        source: of the tile.
    """
    restricted = {axis: _forwards(positions) for axis, positions in parsed.ranges.items()} | rows
    tile = tile[tuple(restricted.get(axis, slice(None)) for axis in range(tile.ndim))]
    if not picks:
        return tile
    xp, layout = source.layout.xp, source.layout
    others = [axis for axis in range(tile.ndim) if axis not in picks]
    tile = xp.permute_dims(tile, (*sorted(picks), *others))
    return tile[tuple(layout.asarray(picks[axis]) for axis in sorted(picks))]


def _picked_rows(source: RowSource, parsed: MatrixIndex, row_axis: int) -> Array:
    """The entries of an index whose arrays pick rows: each row that occurs is computed once."""
    layout, rows = source.layout, parsed.picks[row_axis]
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    parts = []
    for span in _runs(np.unique(rows), source.tiles()[0].stop):
        entries = order[np.searchsorted(rows, span.start) : np.searchsorted(rows, span.stop)]
        picks = {axis: positions[entries] for axis, positions in parsed.picks.items()}
        picks[row_axis] = picks[row_axis] - span.start
        parts.append(_part(layout.restore(source.weights(span)), parsed, {}, picks, source))
    answer = parts[0] if len(parts) == 1 else layout.xp.concat(parts, axis=0)
    return answer if np.all(np.diff(order) == 1) else answer[layout.asarray(np.argsort(order))]


def _runs(rows: np.ndarray, longest: int) -> Iterator[slice]:
    """Slices of consecutive rows, none longer than a tile; one empty slice if there are no rows."""
    start = stop = int(rows[0]) if len(rows) else 0
    for row in rows.tolist():
        if row > stop or row - start >= longest:
            yield slice(start, stop)
            start = row
        stop = row + 1
    yield slice(start, stop)


def _spans(source: RowSource, rows: range) -> list[slice]:
    """Slices that hold the rows of a range in ascending order, and no other rows."""
    span = _forwards(rows)
    if span.step == 1:
        parts = [slice(max(t.start, span.start), min(t.stop, span.stop)) for t in source.tiles()]
        parts = [part for part in parts if part.start < part.stop]
    else:
        parts = [slice(row, row + 1) for row in sorted(rows)]
    return parts or [slice(0, 0)]


def _forwards(positions: range) -> slice:
    """The slice with a positive step that holds these positions."""
    ascending = positions if positions.step > 0 else positions[::-1]
    return slice(ascending.start, max(ascending.start, ascending.stop), ascending.step)


def parse_index(index: Any, shape: Sequence[int]) -> MatrixIndex:
    """An index of an array of this shape, by NumPy's rules.

    Raises:
        IndexError: an index that NumPy refuses, or a single Boolean.
    """
    entries = [_as_entry(entry) for entry in (index if isinstance(index, tuple) else (index,))]
    entries = _one_for_each_axis(entries, shape)
    with_arrays = any(isinstance(entry, np.ndarray) for entry in entries)
    ranges: dict[int, range] = {}
    arrays: dict[int, np.ndarray] = {}
    picked_entries, answer = [], []  # answer: sizes of the axes of slices and None
    axis = 0
    for number, entry in enumerate(entries):
        if entry is None:
            answer.append((number, 1))
            continue
        if isinstance(entry, EllipsisType):
            continue
        if isinstance(entry, slice):
            ranges[axis] = range(shape[axis])[entry]
            answer.append((number, len(ranges[axis])))
        else:
            positions = _within(np.asarray(entry), axis, shape[axis])
            if with_arrays:  # numbers are then arrays, too
                arrays[axis] = positions
                picked_entries.append(number)
            else:
                ranges[axis] = range(int(positions), int(positions) + 1)
        axis += 1
    picks, picked_shape = _broadcast(arrays)
    # The arrays' axes stand where the arrays stood if they stood side by side, else in front.
    side_by_side = np.all(np.diff(picked_entries) == 1)
    first = picked_entries[0] if picked_entries and side_by_side else -1
    before = [size for number, size in answer if number < first]
    after = [size for number, size in answer if number > first]
    picked_axis = sum(isinstance(entry, slice) for entry in entries[: max(first, 0)])
    return MatrixIndex(ranges, picks, picked_shape, picked_axis, (*before, *picked_shape, *after))


def _as_entry(entry: Any) -> Entry:
    """A number, slice, `...`, `None` or NumPy array from what a user writes.

    Raises:
        IndexError: anything else.
    """
    if entry is None or isinstance(entry, slice | EllipsisType):
        return entry
    try:
        array = to_numpy(entry)
    except ValueError:  # a list whose rows differ in length
        array = np.empty(0, object)
    if array.size == 0 and isinstance(entry, list | tuple) and array.dtype.kind == "f":
        array = array.astype(np.int64)  # an empty list
    if array.dtype.kind not in "iub":
        raise IndexError(
            f"{entry!r} cannot index an attention map; expected numbers, slices, ..., None, or arrays "
            "or lists of integers or Booleans"
        )
    if array.ndim == 0:
        if array.dtype.kind == "b":
            raise IndexError(
                f"{entry!r} cannot index an attention map: a single Boolean is not supported; expected "
                "one for each position"
            )
        return operator.index(array.item())
    return array if array.dtype.kind == "b" else array.astype(np.int64)


def _one_for_each_axis(entries: list[Entry], shape: Sequence[int]) -> list[Entry]:
    """Entries for all axes: slices for `...` and missing ones, positions of `True` for Booleans.

    Raises:
        IndexError: too many entries, or Booleans of another size than their axes.
    """
    used = sum(
        entry.ndim if isinstance(entry, np.ndarray) and entry.dtype == bool else 1
        for entry in entries
        if entry is not None and not isinstance(entry, EllipsisType)
    )
    ellipses = sum(isinstance(entry, EllipsisType) for entry in entries)
    if used > len(shape):
        raise IndexError(f"{used} indices for an attention map of {len(shape)} axes")
    if ellipses > 1:
        raise IndexError("an index has at most one ellipsis (...)")
    if not ellipses:
        entries = [*entries, ...]
    complete: list[Entry] = []
    axis = 0
    for entry in entries:
        if isinstance(entry, EllipsisType):
            # One that stands for no axis still keeps arrays apart.
            complete += [slice(None)] * (len(shape) - used) or [entry]
            axis += len(shape) - used
        elif isinstance(entry, np.ndarray) and entry.dtype == bool:
            axes = tuple(shape[axis : axis + entry.ndim])
            if entry.shape != axes:
                raise IndexError(
                    f"Booleans of shape {entry.shape} index axes of shape {axes} of an attention map; "
                    "expected one for each position"
                )
            complete += entry.nonzero()
            axis += entry.ndim
        else:
            complete.append(entry)
            axis += entry is not None
    return complete


def _within(positions: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Positions counted from 0, negative ones from the end.

    Raises:
        IndexError: a position outside the axis.
    """
    outside = (positions < -size) | (positions >= size)
    if outside.any():
        raise IndexError(
            f"index {positions[outside].flat[0]} is out of bounds for axis {axis} of an attention map, "
            f"which has {size} positions"
        )
    return np.where(positions < 0, positions + size, positions)


def _broadcast(arrays: dict[int, np.ndarray]) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
    """Index arrays broadcast to one shape and made flat, and that shape.

    Raises:
        IndexError: shapes that do not broadcast.
    """
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = " ".join(str(array.shape) for array in arrays.values())
        raise IndexError(f"index arrays of shapes {shapes} do not broadcast together") from None
    return {axis: np.array(np.broadcast_to(x, shape)).ravel() for axis, x in arrays.items()}, shape
