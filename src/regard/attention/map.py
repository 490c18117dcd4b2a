"""`AttentionMap`: exact answers about an attention matrix that is never stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from regard.attention.arrays import (
    device_of,
    grouped_matmul,
    largest,
    namespace,
    transpose,
    wide_dtype,
)
from regard.attention.grid import Grid
from regard.attention.problem import Dense, Source
from regard.errors import InputError, SettingsError, ShapeError, nearest
from regard.shapes import Array, Float, Int

__all__ = ["AttentionMap", "Pool", "TopK"]

WATCHABLE = ("entropy", "pool", "received", "topk")


class TopK(NamedTuple):
    """The keys each query attends to most, best first."""

    values: Float[Array, "*lead queries k"]
    positions: Int[Array, "*lead queries k"]


class Pool(NamedTuple):
    """Mean and maximum of each block of the matrix."""

    mean: Float[Array, "*lead query_blocks key_blocks"]
    max: Float[Array, "*lead query_blocks key_blocks"]


class AttentionMap:
    """The attention matrix as an operator: `(..., queries, keys)`, of which no such array exists.

    It keeps what the matrix is made from and answers exact questions about it, a few rows at a time or
    by a kernel, in memory that grows with length and not with its square. Nothing is computed before it
    is asked. Statistics are float32, or float64 for float64 inputs.

    Get one from `attend`, or wrap a matrix with `AttentionMap.from_dense`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[Any, Any] = {}

    @classmethod
    def from_dense(cls, weights: Float[Array, "*lead queries keys"]) -> AttentionMap:
        """The same questions, asked of a matrix that exists (recurrent decoders make one).

        Raises:
            ShapeError: if it has not two to four axes.
            InputError: if it does not hold floats.
        """
        xp = namespace(weights=weights)
        if not 2 <= weights.ndim <= 4:
            raise ShapeError(
                f"weights have shape {tuple(weights.shape)}; expected (..., queries, keys) with 2 to 4 axes"
            )
        if not xp.isdtype(weights.dtype, "real floating"):
            raise InputError(f"weights hold {weights.dtype}; expected floats")
        rank = weights.ndim
        four = weights[:, None] if rank == 3 else weights
        four = xp.reshape(four, (1,) * (4 - four.ndim) + tuple(four.shape))
        grid = Grid(
            *four.shape,
            rank=rank,
            xp=xp,
            device=device_of(weights),
            dtype=wide_dtype(xp, weights),
        )
        return cls(Dense(grid, four))

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., queries, keys)`, with as many axes as the query had."""
        return self._source.grid.shape

    @property
    def dtype(self) -> Any:
        """What weights and statistics come in."""
        return self._source.grid.dtype

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"AttentionMap(shape={self.shape}, dtype={self.dtype})"

    def __len__(self) -> int:
        return self.shape[0]

    # Rows

    def tiles(self) -> Iterator[tuple[slice, Float[Array, "*lead rows keys"]]]:
        """The matrix a few rows at a time: which queries, and their weights."""
        for rows in self._source.tiles():
            yield rows, self._source.grid.restore(self._source.weights(rows))

    def dense(self) -> Float[Array, "*lead queries keys"]:
        """The whole matrix, when it is small enough to want; gradients flow through it."""
        return self._gather(lambda rows, weights: weights)

    def __getitem__(self, index: Any) -> Array:
        """`weights[index]` of the dense matrix; only the rows it names are computed."""
        index = index if isinstance(index, tuple) else (index,)
        at = next((n for n, i in enumerate(index) if i is Ellipsis), None)
        if at is not None:
            fill = (slice(None),) * (self.ndim - len(index) + 1)
            index = index[:at] + fill + index[at + 1 :]
        index += (slice(None),) * (self.ndim - len(index))
        if len(index) != self.ndim:
            raise IndexError(f"{len(index)} indices for an attention map of {self.ndim} axes")
        *lead, rows, columns = index
        return self._rows(tuple(lead), rows, columns)

    def _rows(self, lead: tuple[Any, ...], rows: Any, columns: Any) -> Array:
        grid = self._source.grid
        if isinstance(rows, int):
            row = range(grid.queries)[rows]
            spans, inner = [slice(row, row + 1)], 0
        elif isinstance(rows, slice):
            start, stop, step = rows.indices(grid.queries)
            if step != 1:
                return self._rows(lead, list(range(start, stop, step)), columns)
            spans, inner = _cut(self._source.tiles(), start, max(start, stop)), slice(None)
        else:
            places = [range(grid.queries)[int(row)] for row in rows]
            spans, inner = [slice(row, row + 1) for row in places], slice(None)
        tiles = [grid.restore(self._source.weights(span)) for span in spans]
        picked = [tile[(*lead, inner, columns)] for tile in tiles]
        if len(picked) == 1:
            return picked[0]
        return grid.xp.concat(picked, axis=-1 if isinstance(columns, int) else -2)

    # The operator

    def __matmul__(
        self, x: Float[Array, "*lead keys columns"]
    ) -> Float[Array, "*lead queries columns"]:
        """`weights @ x`; with four axes `x` may have fewer heads, like a value."""
        grid = self._source.grid
        four = self._four(x, grid.keys)
        return self._gather(lambda rows, weights: grouped_matmul(weights, four))

    @property
    def T(self) -> TransposedMap:
        """The transposed matrix, for `weights.T @ g`."""
        return TransposedMap(self)

    def _flow_back(self, g: Float[Array, "batch heads queries columns"]) -> Array:
        """`weights.T @ g` with all four axes."""
        total: Array = 0.0
        for rows in self._source.tiles():
            total = total + transpose(self._source.weights(rows)) @ g[:, :, rows]
        return total

    def _four(self, x: Array, length: int) -> Array:
        grid = self._source.grid
        if x.ndim < 2 or x.shape[-2] != length:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (..., {length}, columns)")
        if grid.rank == 3 and x.ndim == 3:
            x = x[:, None]
        x = grid.xp.reshape(x, (1,) * (4 - x.ndim) + tuple(x.shape))
        return grid.xp.astype(x, grid.dtype)

    # Statistics

    def topk(self, k: int = 8) -> TopK:
        """For each query the `k` keys it attends to most (all keys, if there are fewer)."""
        if k < 1:
            raise InputError(f"topk got {k}; expected at least 1 key")
        k = min(k, self._source.grid.keys)
        values = self._gather(lambda rows, weights: largest(weights, k)[0])
        positions = self._gather(lambda rows, weights: largest(weights, k)[1])
        return TopK(values, positions)

    def entropy(self) -> Float[Array, "*lead queries"]:
        """`-sum_j w_j log w_j` of each query, in nats; 0 for a query that sees nothing."""
        xp = self._source.grid.xp

        def of(rows: slice, weights: Array) -> Array:
            log = xp.log(xp.where(weights > 0, weights, 1.0))
            return -xp.sum(weights * log, axis=-1)

        return self._gather(of)

    def received(self) -> Float[Array, "*lead keys"]:
        """How much attention each key received: the sum of its column."""
        xp, grid = self._source.grid.xp, self._source.grid
        total: Array = 0.0
        for rows in self._source.tiles():
            total = total + xp.sum(self._source.weights(rows), axis=2)
        return grid.restore(total)

    def distance(self) -> Float[Array, "*lead queries"]:
        """The expected distance `|i - j|` from each query to the key it attends to, in positions."""
        grid, xp = self._source.grid, self._source.grid.xp
        keys = grid.places(slice(0, grid.keys))

        def of(rows: slice, weights: Array) -> Array:
            away = xp.abs(grid.places(rows)[:, None] - keys)
            return xp.sum(weights * xp.astype(away, grid.dtype), axis=-1)

        return self._gather(of)

    def pool(self, query_blocks: int = 64, key_blocks: int = 64) -> Pool:
        """The matrix in this many blocks each way: the mean and the maximum of each block.

        Block `b` of `n` covers positions `b * length // n` to `(b + 1) * length // n`; no more blocks are
        made than there are positions.
        """
        for blocks in (query_blocks, key_blocks):
            if blocks < 1:
                raise InputError(f"pool got {blocks} blocks; expected at least 1")
        return self._pool(query_blocks, key_blocks)

    def _pool(self, query_blocks: int, key_blocks: int) -> Pool:
        grid, xp = self._source.grid, self._source.grid.xp
        row_ends = block_ends(grid.queries, query_blocks)
        column_ends = block_ends(grid.keys, key_blocks)
        means, maxima = [], []
        for start, stop in zip(row_ends, row_ends[1:], strict=False):
            weights = self._source.weights(slice(start, stop))
            blocks = [weights[..., a:b] for a, b in zip(column_ends, column_ends[1:], strict=False)]
            means.append(xp.stack([xp.mean(block, axis=(2, 3)) for block in blocks], axis=-1))
            maxima.append(xp.stack([xp.max(block, axis=(2, 3)) for block in blocks], axis=-1))
        return Pool(grid.restore(xp.stack(means, axis=2)), grid.restore(xp.stack(maxima, axis=2)))

    def _gather(self, of: Callable[[slice, Array], Array]) -> Array:
        """`of(rows, weights)` of every tile, put together along the queries."""
        grid = self._source.grid
        parts = [of(rows, self._source.weights(rows)) for rows in self._source.tiles()]
        return grid.restore(parts[0] if len(parts) == 1 else grid.xp.concat(parts, axis=2))


class TransposedMap:
    """`weights.T`: only good for `weights.T @ g`."""

    def __init__(self, of: AttentionMap) -> None:
        self._of = of

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., keys, queries)`."""
        *lead, queries, keys = self._of.shape
        return (*lead, keys, queries)

    @property
    def T(self) -> AttentionMap:
        """The map itself."""
        return self._of

    def __matmul__(
        self, g: Float[Array, "*lead queries columns"]
    ) -> Float[Array, "*lead keys columns"]:
        """`weights.T @ g`: what flows back from the queries to the keys."""
        grid = self._of._source.grid
        return grid.restore(self._of._flow_back(self._of._four(g, grid.queries)))


def block_ends(length: int, blocks: int) -> list[int]:
    """Where each of `blocks` equal parts of `length` positions starts, and the end."""
    blocks = max(1, min(blocks, length))
    return [b * length // blocks for b in range(blocks + 1)]


def _cut(tiles: list[slice], start: int, stop: int) -> list[slice]:
    """The parts of `tiles` between `start` and `stop`; one empty part if there is nothing."""
    parts = [slice(max(t.start, start), min(t.stop, stop)) for t in tiles]
    return [part for part in parts if part.start < part.stop] or [slice(start, start)]


def check_watch(watch: Sequence[str]) -> None:
    """Raises a `SettingsError` that names the nearest for a statistic that does not exist."""
    for name in watch:
        if name not in WATCHABLE:
            raise SettingsError(f"watch got {name!r}; {nearest(name, WATCHABLE)}")
