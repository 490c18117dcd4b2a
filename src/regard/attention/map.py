"""`AttentionMap`: exact answers about an attention matrix that is never stored."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple, NoReturn

from regard.attention import kernels
from regard.attention.answers import Answers
from regard.attention.arrays import (
    grouped_matmul,
    is_numpy,
    log_sum_exp,
    matmul,
    namespace,
    no_autocast,
    topk,
    transpose,
)
from regard.attention.indexing import index_matrix
from regard.attention.kernels import NamedStatistic
from regard.attention.kernels.statistics import limit_entropy
from regard.attention.layout import AttentionLayout
from regard.attention.normalizers import is_softmax
from regard.attention.pooling import pool_blocks
from regard.attention.problem import DenseMatrix, Problem, RowSource, ScaledColumns
from regard.attention.scores import Score
from regard.attention.snapshot import Snapshot
from regard.attention.statistics import Statistic, evaluate
from regard.attention.statistics.base import arrays_of
from regard.attention.statistics.tiles import rows_of, tiles_within
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = ["AttentionMap", "Pool", "TopK", "TransposedMap"]

MATMUL_COLUMNS = 128
"""Columns of the right operand that `@` processes at a time."""


NORMAL_ROW_TOLERANCE = 1e-4
"""Distance of a row's sum from 1 that is rounding: the weights of a sigmoid sum to anything else."""


class TopK(NamedTuple):
    """The keys each query attends to most, in descending order of weight.

    Attributes:
        values: the weights.
        positions: the keys.
    """

    values: Float[Array, "*lead queries k"]
    positions: Int[Array, "*lead queries k"]


class Pool(NamedTuple):
    """Mean and maximum of each block of the matrix.

    Attributes:
        mean: of the weights of each block.
        max: of the weights of each block.
    """

    mean: Float[Array, "*lead query_blocks key_blocks"]
    max: Float[Array, "*lead query_blocks key_blocks"]


class AttentionMap:
    """The attention matrix, `(..., queries, keys)`, as a linear operator that is not stored.

    A map holds what the matrix is made from. It answers questions exactly, by a kernel or a few rows
    at a time, in memory that grows with length and not with its square. Nothing is computed before a
    method is called. It is a snapshot (`attention/snapshot.py`): if an input is changed in place later, a
    map of NumPy arrays answers as before, and one of torch tensors raises `InputError`. Statistics are
    float32, or float64 for float64 inputs. In float32 their errors are at most 1.5 times those of dense
    float32 attention on the same inputs (root mean square): the scores are rounded either way. At scores
    of 15 that is 3e-6 to 6e-6 for an entropy, 1e-6 for a weight.

    Get a map from `attend`, or wrap a matrix by `AttentionMap.from_dense`.

    Attributes:
        member: which network of an ensemble attended, from 0; `None` where there is just one.

    >>> import numpy as np
    >>> import regard
    >>> weights = regard.AttentionMap.from_dense(np.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> weights.received().tolist()
    [0.5, 1.5]
    """

    def __init__(
        self,
        source: RowSource | Snapshot,
        answers: Answers | None = None,
        *,
        member: int | None = None,
    ) -> None:
        self._snapshot = source if isinstance(source, Snapshot) else Snapshot.of(source)
        self._answers: Answers = answers or Answers()
        self.member: int | None = member

    @classmethod
    def from_dense(cls, weights: Float[Array, "*lead queries keys"]) -> AttentionMap:
        """A map of a matrix that exists, such as one a recurrent decoder made step by step.

        Args:
            weights: `(queries, keys)`, `(batch, queries, keys)` or `(batch, heads, queries, keys)`.

        Raises:
            ShapeError: a number of axes other than 2 to 4.
            InputError: a matrix that does not hold floats.
        """
        return cls(DenseMatrix(*AttentionLayout.of_matrix(weights)))

    def of_member(self, member: int) -> AttentionMap:
        """A copy marked as the attention of one member of an ensemble.

        Members read an input side by side. Without the mark, their maps in one list look like layers.
        """
        return AttentionMap(self._snapshot, self._answers.copy(), member=member)

    def __getstate__(self) -> dict[str, Any]:
        """Attributes for `pickle` and `copy`, without the graph behind the gradients of statistics."""
        return {**vars(self), "_answers": self._answers.without_gradients()}

    @property
    def _source(self) -> RowSource:
        return self._snapshot.source

    @property
    def _layout(self) -> AttentionLayout:
        return self._snapshot.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., queries, keys)`, with as many axes as the query had."""
        return self._layout.shape

    @property
    def dtype(self) -> Any:
        """Type of weights and statistics: float32 or float64, of the query's library."""
        return self._layout.dtype

    @property
    def ndim(self) -> int:
        """Number of axes, 2 to 4."""
        return len(self.shape)

    @property
    def score(self) -> Score | None:
        """Score that compared queries and keys; `None` for a map of a matrix."""
        source = self._source
        return source.score if isinstance(source, Problem) else None

    @property
    def key_heads(self) -> int:
        """Number of heads of the keys: fewer than those of the weights where groups of heads share keys."""
        source = self._source
        return int(source.key.shape[1]) if isinstance(source, Problem) else self._layout.heads

    def __repr__(self) -> str:
        return f"AttentionMap(shape={self.shape}, dtype={self.dtype})"

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> NoReturn:
        # As for arrays: by its length a map would be true, and `a and b` would be `b`.
        raise InputError(
            "an attention map is neither true nor false; to ask whether there is one, compare it with "
            "None, and ask for its size by .shape"
        )

    # Rows

    def tiles(self) -> Iterator[tuple[slice, Float[Array, "*lead rows keys"]]]:
        """The matrix a few rows at a time: pairs of a slice of queries and their weights."""
        for rows in self._source.tiles():
            yield rows, self._layout.restore(self._source.weights(rows))

    def dense(self) -> Float[Array, "*lead queries keys"]:
        """The whole matrix as an array, for short inputs; gradients flow through it."""
        return self._restore(self._concat_tiles(lambda rows, weights: weights))

    def __getitem__(self, index: Any) -> Array:
        """`dense()[index]` by NumPy's rules in every library; only the rows it names are computed.

        Args:
            index: numbers, slices, `...`, `None`, and arrays or lists of integers or Booleans.

        Raises:
            IndexError: an index that NumPy refuses, or a single Boolean.
        """
        return index_matrix(self._source, index)

    # The operator

    def __matmul__(
        self, x: Float[Array, "... keys columns"]
    ) -> Float[Array, "... queries columns"]:
        """`weights @ x`; with four axes `x` may have fewer heads, like a value."""
        layout = self._layout
        x = layout.align_operand(x, layout.keys)

        def multiply(columns: Array) -> Array:
            if isinstance(self._source, Problem):
                product = kernels.matmul(self._source, columns)
                if product is not None:
                    return product
            return self._concat_tiles(lambda rows, weights: grouped_matmul(weights, columns))

        with no_autocast(x):
            return layout.restore(_by_columns(multiply, x))

    @property
    def T(self) -> TransposedMap:  # noqa: N802
        """The transposed matrix, for `weights.T @ g`."""
        return TransposedMap(self)

    def rmatmul(
        self, g: Float[Array, "... queries columns"]
    ) -> Float[Array, "batch heads keys columns"]:
        """`weights.T @ g` with all four axes; `g` may have a divisor of the heads."""
        layout = self._layout
        g = layout.align_operand(g, layout.queries)
        if g.shape[1] not in (1, layout.heads):
            g = layout.xp.repeat(g, layout.heads // g.shape[1], axis=1)

        def multiply(columns: Array) -> Array:
            if isinstance(self._source, Problem):
                product = kernels.rmatmul(self._source, columns)
                if product is not None:
                    return product
            return _sum(
                matmul(transpose(self._source.weights(rows)), columns[:, :, rows])
                for rows in self._source.tiles()
            )

        with no_autocast(g):
            return _by_columns(multiply, g)

    # Statistics

    def topk(self, k: int = 8) -> TopK:
        """The `k` keys each query attends to most; all keys if there are fewer.

        Raises:
            InputError: `k` below 1.
        """
        if k < 1:
            raise InputError(f"topk got {k}; expected at least 1 key")
        k = min(k, self._layout.keys)
        values, positions = self._statistic(
            ("topk", k), lambda: self._concat_tile_pairs(lambda rows, weights: topk(weights, k))
        )
        return TopK(self._restore(values), self._restore(positions))

    def entropy(self) -> Float[Array, "*lead queries"]:
        """Entropy of each query's weights, `-sum_j w_j log w_j`, in nats; 0 for a masked row.

        It is at most `log(keys)` for rows that sum to 1. The share of a sink (`Softmax(sink=...)`) is no
        weight of a key and no term of the sum.
        """
        xp, keys = self._layout.xp, self._layout.keys

        def row_entropy(rows: slice, weights: Array) -> Array:
            log = xp.log(xp.where(weights > 0, weights, 1.0))
            entropy = 0.0 - xp.sum(weights * log, axis=-1)  # 0.0 where minus the sum would be -0.0
            normal = xp.abs(xp.sum(weights, axis=-1) - 1) < NORMAL_ROW_TOLERANCE
            return xp.where(normal, limit_entropy(entropy, keys), entropy)

        found = self._statistic(("entropy",), lambda: self._concat_tiles(row_entropy))
        if ("entropy",) in self._answers.named and self._sums_to_one:  # from a kernel
            found = limit_entropy(found, keys)
        return self._restore(found)

    def lse(self) -> Float[Array, "*lead queries"]:
        r"""Log-sum-exp of each query's scores, `\log \sum_j \exp s_{ij}`; -inf for a masked row.

        The scores are those that the normaliser is given: with bias, -inf where masked. The sink of a softmax
        is one more term, so that a weight is always `exp(score - lse)`.

        Raises:
            InputError: a map of a matrix, which holds no scores.
        """
        scores, source = self._scores("lse"), self._source

        def with_sink(tile: Array) -> Array:
            return log_sum_exp(source.append_sink(tile) if isinstance(source, Problem) else tile)

        found = self._statistic(("lse",), lambda: self._concat_tiles_of(with_sink, scores))
        return self._restore(self._layout.xp.astype(found, self.dtype, copy=False))

    def max_score(self) -> Float[Array, "*lead queries"]:
        """The largest score of each query, with bias; -inf for a masked row.

        Its maximum over queries and examples is the largest of each head, by which QK-clip scales the head's
        queries and keys (Kimi Team 2025): `weights.max_score().amax((0, 2))` in torch.

        Raises:
            InputError: a map of a matrix, which holds no scores.
        """
        xp, scores = self._layout.xp, self._scores("max_score")

        def largest(tile: Array) -> Array:
            if not tile.shape[-1]:
                return xp.sum(tile, axis=-1) - math.inf
            return xp.max(tile, axis=-1)

        return self._restore(
            self._statistic(("max_score",), lambda: self._concat_tiles_of(largest, scores))
        )

    def received(self, *, queries: slice | None = None) -> Float[Array, "*lead keys"]:
        """How much attention each key received: the sum of its column.

        Args:
            queries: from these alone, computed without the rest: `slice(-32, None)` for the last 32, by which
                SnapKV (Li et al. 2024) chooses the keys that a cache keeps. All unless given.

        Raises:
            InputError: something else than a slice without steps.
        """
        source, layout = self._source, self._layout
        rows = rows_of(queries, layout.queries)
        # NumPy adds the rows of a matrix up one by one, with a rounding error for each.
        wide = layout.xp.float64 if is_numpy(layout.xp) else layout.dtype

        def column_sums() -> Array:
            parts = (
                layout.xp.sum(source.weights(tile), axis=2, dtype=wide)
                for tile in tiles_within(source.tiles(), rows)
            )
            return layout.xp.astype(_sum(parts), layout.dtype, copy=False)

        if rows is not None:
            return self._restore(column_sums())
        return self._restore(self._statistic(("received",), column_sums))

    def distance(self) -> Float[Array, "*lead queries"]:
        """The expected distance `|i - j|` from query `i` to the key `j` it attends to, in positions."""
        layout, xp = self._layout, self._layout.xp
        keys = layout.positions(slice(0, layout.keys))

        def row_distance(rows: slice, weights: Array) -> Array:
            distance = xp.abs(layout.positions(rows)[:, None] - keys)
            return xp.sum(weights * xp.astype(distance, layout.dtype), axis=-1)

        return self._restore(self._concat_tiles(row_distance))

    def pool(self, query_blocks: int = 64, key_blocks: int = 64) -> Pool:
        """Mean and maximum of the weights in each of at most `query_blocks x key_blocks` blocks.

        All blocks have `ceil(length / blocks)` positions but the last, which has what is left.

        Raises:
            InputError: fewer than 1 block.
        """
        for blocks in (query_blocks, key_blocks):
            if blocks < 1:
                raise InputError(f"pool got {blocks} blocks; expected at least 1")
        mean, maximum = self._statistic(
            ("pool", query_blocks, key_blocks),
            lambda: pool_blocks(self._source, query_blocks, key_blocks),
        )
        return Pool(self._restore(mean), self._restore(maximum))

    def statistic(self, statistic: Statistic, *, queries: slice | None = None) -> Any:
        """A statistic of your own, or one of `regard.statistics`, computed tile by tile.

        Args:
            statistic: what to take from a tile, how to merge, how to finish; see
                `regard.statistics.Statistic`.
            queries: compute it from these queries alone, without the others: `slice(-32, None)` for the
                last 32. All unless given.

        Returns:
            What its `finish` returns, an array or a tuple of arrays, with the map's leading axes.

        Raises:
            InputError: no statistic; a statistic of scores asked of a map of a matrix.
            ShapeError: a statistic that does not fit this map.
        """
        rows = rows_of(queries, self._layout.queries)
        answer = self._answers.kept(statistic) if rows is None else None
        if answer is None:
            answer = evaluate(self._source, statistic, rows=rows)
        arrays = tuple(map(self._restore, arrays_of(answer)))
        return arrays if isinstance(answer, tuple) else arrays[0]

    def norms(
        self,
        value: Float[Array, "... keys values"],
        output_projection: Float[Array, "... rows d"],
    ) -> AttentionMap:
        """Norms of the transformed vectors moved from each key to each query (Kobayashi et al. 2020).

        `weights[i, j] * |v_j W_O|`: a key with a large weight and a small transformed value moves
        little.

        Args:
            value: the values given to `attend`.
            output_projection: `W_O` of the layer: `(values, d)`, `(heads, values, d)`, or
                `(heads * values, d)`. For a torch layer it is `output.weight.T`: `nn.Linear` keeps
                the transposed matrix, and where it is square no shape check can tell.

        Returns:
            A map whose entries are these norms; its rows do not sum to 1.

        Raises:
            ShapeError: a value or projection that does not fit.
        """
        layout = self._layout
        value = layout.align_operand(value, layout.keys)
        xp, width = layout.xp, value.shape[-1]
        projection = layout.asarray(output_projection, layout.dtype)
        if projection.ndim == 2 and projection.shape[0] == layout.heads * width:
            projection = xp.reshape(projection, (layout.heads, width, projection.shape[-1]))
        if projection.shape[-2] != width or projection.shape[:-2] not in ((), (layout.heads,)):
            raise ShapeError(
                f"output projection has shape {tuple(output_projection.shape)}; expected "
                f"({layout.heads}, {width}, d) or ({layout.heads * width}, d)"
            )
        value = xp.repeat(value, layout.heads // value.shape[1], axis=1)
        # A few columns at a time, so that no array as wide as d is made. (The Gram matrix of W would
        # be shorter, and its rounding larger than v W where W is nearly singular.)
        with no_autocast(value):
            square = _sum(
                xp.sum(matmul(value, projection[..., start : start + MATMUL_COLUMNS]) ** 2, axis=-1)
                for start in range(0, max(1, projection.shape[-1]), MATMUL_COLUMNS)
            )
        scaled = ScaledColumns(self._snapshot, xp.sqrt(square)[:, :, None])
        return AttentionMap(scaled, member=self.member)

    # Evaluation by kernel or by tile

    def _statistic(self, statistic: NamedStatistic, by_tiles: Callable[[], Any]) -> Any:
        """A statistic computed before, or by a kernel, or else `by_tiles()`.

        A kernel's pass answers other questions with the first, and all of these answers are kept. Answers by
        tiles are not, as they may carry gradients, nor those that lack one only because gradients are switched
        off. Of those that are kept the caller gets copies, so that writing into them changes no later answer.
        """

        def by_kernel() -> Mapping[NamedStatistic, Any] | None:
            source = self._source
            if not isinstance(source, Problem):
                return None
            return kernels.statistics(source, statistic, self._answers.named)

        held = self._snapshot.held
        keep = not (isinstance(held, Problem) and kernels.has_gradients(held))
        found = self._answers.of(statistic, by_kernel, keep=keep)
        return by_tiles() if found is None else found

    def _scores(self, name: str) -> Callable[[slice], Array]:
        """The function that computes scores of some rows.

        Raises:
            InputError: a map of a matrix.
        """
        source = self._source
        if not isinstance(source, Problem):
            raise InputError(
                f"{name} is of scores, and this map is one of a matrix, which holds weights alone; ask the "
                "map that attend returned"
            )

        def scores(rows: slice) -> Array:
            with no_autocast(source.query):
                return source.scores(rows)

        return scores

    @property
    def _sums_to_one(self) -> bool:
        """Whether each row sums to 1, or to 0 where it is masked, whatever the scores."""
        source = self._source
        return isinstance(source, Problem) and is_softmax(source.normalizer)

    def _restore(self, array: Array) -> Array:
        return self._layout.restore(array)

    def _concat_tiles(self, function: Callable[[slice, Array], Array]) -> Array:
        """`function(rows, weights)` of every tile, concatenated along the queries."""
        parts = [function(rows, self._source.weights(rows)) for rows in self._source.tiles()]
        return parts[0] if len(parts) == 1 else self._layout.xp.concat(parts, axis=2)

    def _concat_tiles_of(
        self, function: Callable[[Array], Array], scores: Callable[[slice], Array]
    ) -> Array:
        """`function(scores(rows))` of every tile, concatenated along the queries."""
        parts = [function(scores(rows)) for rows in self._source.tiles()]
        return parts[0] if len(parts) == 1 else self._layout.xp.concat(parts, axis=2)

    def _concat_tile_pairs(
        self, function: Callable[[slice, Array], tuple[Array, Array]]
    ) -> tuple[Array, Array]:
        parts = [function(rows, self._source.weights(rows)) for rows in self._source.tiles()]
        xp = self._layout.xp
        first, second = (xp.concat(column, axis=2) for column in zip(*parts, strict=True))
        return first, second


class TransposedMap:
    """`weights.T`, which supports `weights.T @ g` and nothing else."""

    def __init__(self, attention_map: AttentionMap) -> None:
        self._map = attention_map

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., keys, queries)`."""
        *leading, queries, keys = self._map.shape
        return (*leading, keys, queries)

    @property
    def T(self) -> AttentionMap:  # noqa: N802
        """The map that was transposed."""
        return self._map

    def __matmul__(
        self, g: Float[Array, "... queries columns"]
    ) -> Float[Array, "... keys columns"]:
        """`weights.T @ g`: values of the queries summed up at the keys they attend to."""
        return self._map._restore(self._map.rmatmul(g))


def _by_columns(function: Callable[[Array], Array], x: Array) -> Array:
    """`function(x)`, a few columns at a time, so that copies which a kernel widens stay small."""
    if x.shape[-1] <= MATMUL_COLUMNS:
        return function(x)
    xp = namespace(x=x)
    starts = range(0, x.shape[-1], MATMUL_COLUMNS)
    return xp.concat(
        [function(x[..., start : start + MATMUL_COLUMNS]) for start in starts], axis=-1
    )


def _sum(parts: Iterable[Array]) -> Array:
    return reduce(operator.add, parts)
