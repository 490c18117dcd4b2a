"""Evaluation of a statistic over the tiles of a matrix: how it is cut, and what is merged with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, cast

from regard.attention.arrays import checkpointed, is_array
from regard.attention.problem import DenseMatrix, Problem, RowSource
from regard.attention.statistics.base import Partial, Statistic, Tile, arrays_of
from regard.attention.statistics.by_kernel import in_type_of, partial_by_kernel
from regard.errors import InputError, ShapeError
from regard.shapes import Array

__all__ = [
    "MAX_COLUMNS",
    "cut_tile",
    "evaluate",
    "partial_of",
    "rows_of",
    "tile_of",
    "tiles_within",
]

MAX_COLUMNS = 4096
"""Keys of a tile: with the rows of `RowSource.tiles` at most a few megabytes for each array a statistic makes,
and enough that calls of Python cost nothing beside the numbers."""


def evaluate(
    source: RowSource,
    statistic: Statistic,
    *,
    rows: slice | None = None,
    tiles: Sequence[slice] | None = None,
    columns: Sequence[slice] | None = None,
) -> Partial:
    """The answer of a statistic, with four axes.

    Args:
        source: of the matrix.
        statistic: what to compute.
        rows: queries to compute it from; all unless given.
        tiles: how the queries are cut: a few megabytes at a time unless given.
        columns: how the keys are cut. Neither changes anything but memory.

    Raises:
        InputError: a partial result that is no array, or a statistic that is none.
        ShapeError: arrays of another shape than `statistic.per` says.
    """
    if not isinstance(statistic, Statistic):
        raise InputError(
            f"statistic is {statistic!r}; expected an object of a subclass of regard.statistics.Statistic, "
            "such as regard.statistics.RenyiEntropy(2)"
        )
    statistic.check(source.layout)
    partial = None
    if rows is None and tiles is None and columns is None:
        partial = partial_by_kernel(source, statistic)
    if partial is None:
        partial = partial_of(source, statistic, rows=rows, tiles=tiles, columns=columns)
        answer = statistic.finish(partial)
    else:
        answer = in_type_of(source.layout, statistic.finish(partial))
    _check_arrays(statistic, "finish", answer, (source.layout.batch, source.layout.heads))
    return answer


def partial_of(
    source: RowSource,
    statistic: Statistic,
    *,
    rows: slice | None = None,
    tiles: Sequence[slice] | None = None,
    columns: Sequence[slice] | None = None,
) -> Partial:
    """The merged partial result of some rows of a matrix; see `evaluate`."""
    layout = source.layout
    columns = _columns(layout.keys) if columns is None else columns

    def of_rows(tile_rows: slice) -> list[Partial]:
        whole = tile_of(source, tile_rows)
        found = []
        for part in columns:
            tile = whole if len(columns) == 1 else cut_tile(whole, part)
            partial = statistic.of_tile(tile)
            sizes = {"query": (_length(tile_rows),), "key": (_length(part),), "head": ()}
            shape = (layout.batch, layout.heads, *sizes[statistic.per])
            _check_arrays(statistic, "of_tile", partial, shape)
            found.append(partial)
        return found if statistic.per == "key" else [reduce(statistic.merge, found)]

    tiles = tiles_within(source.tiles() if tiles is None else tiles, rows)
    of_tile = _checkpointed(of_rows, source) if len(tiles) > 1 else of_rows
    # One row tile at a time: of a statistic per key or head, no more than two partial results exist.
    if statistic.per == "query":
        return _joined(source, [of_tile(tile)[0] for tile in tiles])
    merged = of_tile(tiles[0])
    for tile in tiles[1:]:
        merged = [statistic.merge(*pair) for pair in zip(merged, of_tile(tile), strict=True)]
    return _joined(source, merged) if statistic.per == "key" else merged[0]


def tile_of(source: RowSource, rows: slice) -> Tile:
    """Some rows of a matrix with all their keys, with scores where the source has them."""
    layout = source.layout
    every_key = slice(0, layout.keys)
    if isinstance(source, Problem):
        scores, weights = source.scores_and_weights(rows)
        return Tile(layout, rows, every_key, weights, scores)
    return Tile(layout, rows, every_key, source.weights(rows))


def rows_of(queries: slice | None, count: int) -> slice | None:
    """A slice of queries with ends of its own; `None` for all.

    Args:
        queries: as users write it, `slice(-32, None)` say.
        count: queries of the matrix.

    Raises:
        InputError: something else than a slice, or one with steps.
    """
    if queries is None:
        return None
    if not isinstance(queries, slice) or queries.step not in (None, 1):
        raise InputError(
            f"queries is {queries!r}; expected a slice without steps, such as slice(-32, None) for the last 32"
        )
    start, stop, _ = queries.indices(count)
    return slice(start, max(start, stop))


def tiles_within(tiles: Sequence[slice], rows: slice | None) -> Sequence[slice]:
    """The parts of tiles that lie within some rows; one empty tile where there is none."""
    if rows is None:
        return tiles
    parts = [slice(max(tile.start, rows.start), min(tile.stop, rows.stop)) for tile in tiles]
    return [part for part in parts if part.start < part.stop] or [slice(rows.start, rows.start)]


def _columns(keys: int) -> list[slice]:
    """All keys, in parts of about equal size."""
    if keys <= MAX_COLUMNS:
        return [slice(0, keys)]
    count = -(-keys // MAX_COLUMNS)
    return [slice(keys * n // count, keys * (n + 1) // count) for n in range(count)]


def cut_tile(tile: Tile, columns: slice) -> Tile:
    """Some keys of a tile of whole rows."""
    scores = tile.given_scores
    return Tile(
        tile.layout,
        tile.rows,
        columns,
        tile.weights[..., columns],
        None if scores is None else scores[..., columns],
    )


def _checkpointed(
    function: Callable[[slice], list[Partial]], source: RowSource
) -> Callable[[slice], list[Partial]]:
    """`function`, whose backward pass computes a tile again instead of keeping all of them."""
    like: Any = source.query if isinstance(source, Problem) else None
    if isinstance(source, DenseMatrix):
        like = source.matrix
    return function if like is None else cast(Any, checkpointed(cast(Any, function), like))


def _joined(source: RowSource, partials: list[Partial]) -> Partial:
    """Partial results of queries or keys that follow each other, as one."""
    if len(partials) == 1:
        return partials[0]
    columns = zip(*map(arrays_of, partials), strict=True)
    joined = tuple(source.layout.xp.concat(parts, axis=2) for parts in columns)
    return joined if isinstance(partials[0], tuple) else joined[0]


def _check_arrays(
    statistic: Statistic, method: str, found: Partial, shape: tuple[int, ...]
) -> None:
    """Refuse what is no array, or has other axes in front.

    Raises:
        InputError: something that is no array.
        ShapeError: an array of another shape.
    """
    name = f"{type(statistic).__name__}.{method}"
    axes = "".join(f"{size}, " for size in shape)
    for array in arrays_of(found):
        if not is_array(array):
            raise InputError(
                f"{name} returned {type(array).__name__}; expected an array of shape ({axes}...) or a tuple of "
                "such arrays"
            )
        if tuple(array.shape[: len(shape)]) != shape:
            raise ShapeError(
                f"{name} returned shape {tuple(array.shape)}; expected ({axes}...), as per is "
                f"{statistic.per!r}"
            )


def _length(part: slice) -> Array:
    return part.stop - part.start
