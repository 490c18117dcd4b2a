"""`AttentionMap`: exact answers about an attention matrix that is never stored."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from regard.attention import kernels
from regard.attention.arrays import (
    accumulation_dtype,
    device_of,
    grouped_matmul,
    namespace,
    no_autocast,
    topk,
    transpose,
)
from regard.attention.indexing import pick
from regard.attention.kernels import Statistic
from regard.attention.layout import AttentionLayout
from regard.attention.pooling import pooled
from regard.attention.problem import DenseMatrix, Problem, RowSource, ScaledColumns
from regard.errors import InputError, SettingsError, ShapeError, nearest
from regard.shapes import Array, Float, Int

__all__ = ["AttentionMap", "Pool", "TopK"]

WATCHABLE: dict[str, Statistic] = {
    "entropy": ("entropy",),
    "pool": ("pool", 64, 64),
    "received": ("received",),
    "topk": ("topk", 8),
}
COLUMNS = 128
"""Of an operand of `@` at a time."""


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

    It keeps what the matrix is made from and answers exact questions about it, a few rows at a
    time or by a kernel, in memory that grows with length and not with its square. Nothing is
    computed before it is asked. Statistics are float32, or float64 for float64 inputs: within 2e-6
    of exact ones (of the length, for distances) as long as scores stay below 16; larger ones are
    themselves rounded by more.

    Get one from `attend`, or wrap a matrix with `AttentionMap.from_dense`.
    """

    def __init__(self, source: RowSource, known: Mapping[Statistic, Any] | None = None) -> None:
        self._source = source
        self._known: dict[Statistic, Any] = dict(known or {})

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
                f"weights have shape {tuple(weights.shape)}; expected 2 to 4 axes, "
                "(batch, heads, queries, keys)"
            )
        if not xp.isdtype(weights.dtype, "real floating"):
            raise InputError(f"weights hold {weights.dtype}; expected floats")
        rank = weights.ndim
        four = weights[:, None] if rank == 3 else weights
        four = xp.reshape(four, (1,) * (4 - four.ndim) + tuple(four.shape))
        batch, heads, queries, keys = four.shape
        layout = AttentionLayout(
            batch,
            heads,
            queries,
            keys,
            rank=rank,
            xp=xp,
            device=device_of(weights),
            dtype=accumulation_dtype(xp, weights),
        )
        return cls(DenseMatrix(layout, four))

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., queries, keys)`, with as many axes as the query had."""
        return self._source.layout.shape

    @property
    def dtype(self) -> Any:
        """What weights and statistics come in."""
        return self._source.layout.dtype

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
            yield rows, self._source.layout.restore(self._source.weights(rows))

    def dense(self) -> Float[Array, "*lead queries keys"]:
        """The whole matrix, when it is small enough to want; gradients flow through it."""
        return self._restore(self._gather(lambda rows, weights: weights))

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
        return pick(self._source, tuple(lead), rows, columns)

    # The operator

    def __matmul__(
        self, x: Float[Array, "... keys columns"]
    ) -> Float[Array, "... queries columns"]:
        """`weights @ x`; with four axes `x` may have fewer heads, like a value."""
        layout, x = self._source.layout, self._four(x, self._source.layout.keys)

        def mix(part: Array) -> Array:
            fast = kernels.mix(self._source, part) if isinstance(self._source, Problem) else None
            if fast is not None:
                return fast
            return self._gather(lambda rows, weights: grouped_matmul(weights, part))

        with no_autocast(x):
            return layout.restore(_by_columns(mix, x))

    @property
    def T(self) -> TransposedMap:  # noqa: N802
        """The transposed matrix, for `weights.T @ g`."""
        return TransposedMap(self)

    def rmatmul(
        self, g: Float[Array, "... queries columns"]
    ) -> Float[Array, "batch heads keys columns"]:
        """`weights.T @ g` with all four axes; `g` may have fewer heads, too."""
        heads = self._source.layout.heads
        if g.shape[1] not in (1, heads):
            g = self._source.layout.xp.repeat(g, heads // g.shape[1], axis=1)

        def spread(part: Array) -> Array:
            fast = kernels.spread(self._source, part) if isinstance(self._source, Problem) else None
            if fast is not None:
                return fast
            tiles = self._source.tiles()
            return _sum(transpose(self._source.weights(rows)) @ part[:, :, rows] for rows in tiles)

        with no_autocast(g):
            return _by_columns(spread, g)

    def _four(self, x: Array, length: int) -> Array:
        layout = self._source.layout
        x = layout.asarray(x, layout.dtype)
        if x.ndim < 2 or x.shape[-2] != length:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (..., {length}, columns)")
        if layout.rank == 3 and x.ndim == 3:
            x = x[:, None]
        x = layout.xp.reshape(x, (1,) * (4 - x.ndim) + tuple(x.shape))
        if x.shape[0] not in (1, layout.batch) or x.shape[1] < 1 or layout.heads % x.shape[1]:
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; expected a batch of 1 or {layout.batch} and as many "
                f"heads as the map, {layout.heads}, or a divisor"
            )
        return x

    # Statistics

    def topk(self, k: int = 8) -> TopK:
        """For each query the `k` keys it attends to most (all keys, if there are fewer)."""
        if k < 1:
            raise InputError(f"topk got {k}; expected at least 1 key")
        k = min(k, self._source.layout.keys)
        values, positions = self._ask(
            ("topk", k), lambda: self._gather_pair(lambda rows, weights: topk(weights, k))
        )
        return TopK(self._restore(values), self._restore(positions))

    def entropy(self) -> Float[Array, "*lead queries"]:
        """`-sum_j w_j log w_j` of each query, in nats; 0 for a query that sees nothing."""
        xp = self._source.layout.xp

        def of(rows: slice, weights: Array) -> Array:
            log = xp.log(xp.where(weights > 0, weights, 1.0))
            return -xp.sum(weights * log, axis=-1)

        return self._restore(self._ask(("entropy",), lambda: self._gather(of)))

    def received(self) -> Float[Array, "*lead keys"]:
        """How much attention each key received: the sum of its column."""
        xp, source = self._source.layout.xp, self._source
        return self._restore(
            self._ask(
                ("received",),
                lambda: _sum(xp.sum(source.weights(rows), axis=2) for rows in source.tiles()),
            )
        )

    def distance(self) -> Float[Array, "*lead queries"]:
        """The expected distance `|i - j|` from query `i` to the key `j` it attends to."""
        layout, xp = self._source.layout, self._source.layout.xp
        keys = layout.places(slice(0, layout.keys))

        def of(rows: slice, weights: Array) -> Array:
            away = xp.abs(layout.places(rows)[:, None] - keys)
            return xp.sum(weights * xp.astype(away, layout.dtype), axis=-1)

        return self._restore(self._gather(of))

    def pool(self, query_blocks: int = 64, key_blocks: int = 64) -> Pool:
        """The matrix in at most this many blocks each way: mean and maximum of each block.

        All blocks have `ceil(length / blocks)` positions but the last, which has what is left.
        """
        for blocks in (query_blocks, key_blocks):
            if blocks < 1:
                raise InputError(f"pool got {blocks} blocks; expected at least 1")
        mean, most = self._ask(
            ("pool", query_blocks, key_blocks),
            lambda: pooled(self._source, query_blocks, key_blocks),
        )
        return Pool(self._restore(mean), self._restore(most))

    def norms(
        self,
        value: Float[Array, "... keys values"],
        output_projection: Float[Array, "... rows d"],
    ) -> AttentionMap:
        """How much is really moved from each key to each query (Kobayashi et al. 2020).

        `weights[i, j] * |v_j W_O|`: a key with a large weight and a small transformed value moves
        little.

        Args:
            value: what was attended to, as given to `attend`.
            output_projection: `W_O` of the layer: `(values, d)`, `(heads, values, d)`, or
                `(heads * values, d)`, which of a torch layer is `output.weight.T`: `nn.Linear` keeps
                it the other way round, and no shape tells where it is square.

        Returns:
            A map whose entries are these norms; its rows do not sum to 1.

        Raises:
            ShapeError: a value or projection that does not fit.
        """
        layout = self._source.layout
        four = self._four(value, layout.keys)
        xp, width = layout.xp, four.shape[-1]
        projection = layout.asarray(output_projection, layout.dtype)
        if projection.ndim == 2 and projection.shape[0] == layout.heads * width:
            projection = xp.reshape(projection, (layout.heads, width, -1))
        if projection.shape[-2] != width or projection.shape[:-2] not in ((), (layout.heads,)):
            raise ShapeError(
                f"output projection has shape {tuple(output_projection.shape)}; expected "
                f"({layout.heads}, {width}, d) or ({layout.heads * width}, d)"
            )
        four = xp.repeat(four, layout.heads // four.shape[1], axis=1)
        # A few columns at a time, so that nothing as wide as d is made. (The Gram matrix of W would
        # be shorter, and its rounding larger than v W where W is nearly singular.)
        with no_autocast(four):
            square = _sum(
                xp.sum((four @ projection[..., start : start + COLUMNS]) ** 2, axis=-1)
                for start in range(0, max(1, projection.shape[-1]), COLUMNS)
            )
        return AttentionMap(ScaledColumns(self._source, xp.sqrt(square)[:, :, None]))

    # Ways to compute

    def _ask(self, which: Statistic, slowly: Callable[[], Any]) -> Any:
        """A statistic already known, or by a fast path, or tile by tile."""
        if which not in self._known:
            fast = None
            if isinstance(self._source, Problem):
                fast = kernels.statistic(self._source, which)
            if fast is None:
                return slowly()
            self._known[which] = fast
        return self._known[which]

    def _restore(self, array: Array) -> Array:
        return self._source.layout.restore(array)

    def _gather(self, of: Callable[[slice, Array], Array]) -> Array:
        """`of(rows, weights)` of every tile, put together along the queries."""
        parts = [of(rows, self._source.weights(rows)) for rows in self._source.tiles()]
        return parts[0] if len(parts) == 1 else self._source.layout.xp.concat(parts, axis=2)

    def _gather_pair(
        self, of: Callable[[slice, Array], tuple[Array, Array]]
    ) -> tuple[Array, Array]:
        parts = [of(rows, self._source.weights(rows)) for rows in self._source.tiles()]
        first, second = (self._source.layout.xp.concat(p, axis=2) for p in zip(*parts, strict=True))
        return first, second


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
    def T(self) -> AttentionMap:  # noqa: N802
        """The map itself."""
        return self._of

    def __matmul__(
        self, g: Float[Array, "... queries columns"]
    ) -> Float[Array, "... keys columns"]:
        """`weights.T @ g`: what flows back from the queries to the keys."""
        layout = self._of._source.layout
        return layout.restore(self._of.rmatmul(self._of._four(g, layout.queries)))


def _by_columns(function: Callable[[Array], Array], x: Array) -> Array:
    """`function(x)`, a few columns at a time, so that what a kernel widens stays small."""
    if x.shape[-1] <= COLUMNS:
        return function(x)
    xp = namespace(x=x)
    starts = range(0, x.shape[-1], COLUMNS)
    return xp.concat([function(x[..., start : start + COLUMNS]) for start in starts], axis=-1)


def _sum(parts: Iterable[Array]) -> Array:
    return reduce(operator.add, parts)


def watched_statistics(watch: Sequence[str]) -> tuple[Statistic, ...]:
    """The statistics these names stand for, with the numbers their methods take by default.

    Raises:
        SettingsError: for a statistic that does not exist; names the nearest.
    """
    if isinstance(watch, str):
        raise SettingsError(f"watch got {watch!r}; expected several names, as in ({watch!r},)")
    for name in watch:
        if name not in WATCHABLE:
            raise SettingsError(f"watch got {name!r}; {nearest(name, WATCHABLE)}")
    return tuple(WATCHABLE[name] for name in watch)
