"""Sources of rows of an attention matrix; above all `Problem`, the arguments of `attend`.

`Problem.weights(rows)` is the slow, readable twin that defines what is right: score, mask and
normalise a few query rows and all their keys. Every fast path in `kernels/` is tested against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from regard.attention import random
from regard.attention.arrays import (
    all_finite,
    grouped_matmul,
    is_concrete,
    namespace,
    no_autocast,
    split_rows,
    take_along_last,
)
from regard.attention.exporting import is_exporting
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Intervals, Mask, as_mask, key_ranges, mask_tile
from regard.attention.normalizers import Normalizer, align_sink, softmax_of
from regard.attention.positions import Bias, as_bias, bias_tile
from regard.attention.scores import AdditiveScore, Score, uncapped
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Bool, Float

__all__ = [
    "DenseMatrix",
    "NonFinite",
    "Problem",
    "RowSource",
    "ScaledColumns",
    "make_problem",
    "split_nonfinite",
]


@runtime_checkable
class RowSource(Protocol):
    """An object that computes rows of an attention matrix on demand."""

    @property
    def layout(self) -> AttentionLayout:
        """Sizes, library and device of the matrix."""
        ...

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Some rows, in `layout.dtype`; masked entries are 0."""
        ...

    def tiles(self) -> list[slice]:
        """All rows, in slices small enough to be held in memory."""
        ...


@dataclass(frozen=True, eq=False)
class DenseMatrix:
    """Rows of a matrix that exists.

    Attributes:
        layout: of the matrix.
        matrix: the weights, in any float type.
    """

    layout: AttentionLayout
    matrix: Float[Array, "batch heads queries keys"]

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Rows of the matrix, in `layout.dtype`."""
        return self.layout.xp.astype(self.matrix[:, :, rows], self.layout.dtype)

    def tiles(self) -> list[slice]:
        """Row slices that take a few megabytes."""
        return split_rows(self.layout.queries, _row_bytes(self.layout))


@dataclass(frozen=True, eq=False)
class ScaledColumns:
    """Rows of another matrix, each column multiplied by a factor.

    Attributes:
        source: of the other matrix.
        factor: one number for each key.
    """

    source: RowSource
    factor: Float[Array, "batch heads 1 keys"]

    @property
    def layout(self) -> AttentionLayout:
        """The layout of the other matrix."""
        return self.source.layout

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """The other matrix's rows, scaled; 0 stays 0, even times infinity or NaN."""
        weights = self.source.weights(rows)
        return self.layout.xp.where(weights == 0, 0.0, weights * self.factor)

    def tiles(self) -> list[slice]:
        """The tiles of the other matrix."""
        return self.source.tiles()


@dataclass(frozen=True, eq=False)
class Problem:
    """The arguments of `attend`, checked, with four axes, query and key projected.

    Attributes:
        layout: of the attention matrix.
        query: projected, `(batch, heads, queries, dim)`.
        key: projected, `(batch, key_heads, keys, dim)`; `key_heads` divides `heads`.
        value: `(batch, key_heads, keys, values)`.
        score: computes scores from query and key.
        normalizer: computes weights from scores.
        mask: pairs that may attend; `None` for all.
        bias: added to the scores; `None` for none.
        nonfinite: positions at which query, key or value held NaN or infinity, if something is
            masked. The arrays above hold zeros there, so that a masked NaN cannot leak into sums;
            rows that may attend to one become NaN at the end. `None` if every number is finite.
            While a function is traced, when that cannot be known, it is never `None`.
    """

    layout: AttentionLayout
    query: Array
    key: Array
    value: Array
    score: Score
    normalizer: Normalizer
    mask: Mask | None
    bias: Bias | None
    nonfinite: NonFinite | None

    def scores(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Scores of some rows, with bias, -inf where masked."""
        xp, layout = self.layout.xp, self.layout
        scores = self.score.pairwise(
            xp.astype(self.query[:, :, rows], layout.dtype), xp.astype(self.key, layout.dtype)
        )
        expected = (layout.heads, rows.stop - rows.start, layout.keys)
        if tuple(scores.shape[1:]) != expected:
            raise ShapeError(
                f"{type(self.score).__name__}.pairwise returned shape {tuple(scores.shape)}; expected "
                f"{(layout.batch, *expected)}, (batch, heads, rows, columns)"
            )
        if self.nonfinite is not None:
            scores = xp.where(self.nonfinite.scores(rows), math.nan, scores)
        bias = self.bias_tile(rows, self.every_key)
        if bias is not None:
            scores = xp.where(bias == -math.inf, -math.inf, scores + xp.astype(bias, layout.dtype))
            # The largest finite number in place of infinity: it takes all the weight as well, and
            # the normaliser never computes inf - inf.
            scores = xp.where(scores == math.inf, xp.finfo(layout.dtype).max, scores)
        allowed = self.mask_tile(rows, self.every_key)
        return scores if allowed is None else xp.where(allowed, scores, -math.inf)

    def append_sink(self, scores: Array) -> Float[Array, "batch heads rows more"]:
        """Scores of whole rows, and the sink of a softmax as one more column, if it has one."""
        softmax, layout = softmax_of(self.normalizer), self.layout
        if softmax is None or softmax.sink is None:
            return scores
        sink = align_sink(softmax.sink, scores, (layout.batch, layout.heads), layout.dtype)
        column = layout.xp.broadcast_to(sink, (*scores.shape[:-1], 1))
        return layout.xp.concat((scores, column), axis=-1)

    @property
    def every_key(self) -> slice:
        """All columns of the matrix."""
        return slice(0, self.layout.keys)

    # Columns are no optional argument: asked whether a slice is `None`, torch compiles for one length.

    def mask_tile(
        self, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"] | None:
        """The mask of some rows and columns; `None` without a mask."""
        return None if self.mask is None else mask_tile(self.mask, self.layout, rows, columns)

    def bias_tile(
        self, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"] | None:
        """The bias of some rows and columns; `None` without a bias."""
        return None if self.bias is None else bias_tile(self.bias, self.layout, rows, columns)

    def key_ranges(self) -> Intervals | None:
        """The range of keys of each query under a mask that is such ranges; `None` for others."""
        return None if self.mask is None else key_ranges(self.mask, self.layout)

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """The attention weights of some rows."""
        with no_autocast(self.query):
            return self._normalized(self.scores(rows), rows)

    def scores_and_weights(self, rows: slice) -> tuple[Array, Array]:
        """The scores of some rows, -inf where masked, and the weights made of them."""
        with no_autocast(self.query):
            scores = self.scores(rows)
            return scores, self._normalized(scores, rows)

    def output(self, rows: slice, dropout: float, seed: int) -> Float[Array, "batch heads rows dv"]:
        """Weights after dropout, times values, in the type of the values."""
        xp, layout = self.layout.xp, self.layout
        with no_autocast(self.query):
            scores = self.scores(rows)
            weights = self._normalized(scores, rows)
            if dropout:
                kept = self._dropout_mask(rows, dropout, seed)
                weights = xp.where(kept, weights / (1 - dropout), 0.0)
            output = grouped_matmul(weights, xp.astype(self.value, layout.dtype))
        if self.nonfinite is not None:
            output = xp.where(self.nonfinite.outputs(scores != -math.inf), math.nan, output)
        return xp.astype(output, self.value.dtype)

    def tiles(self) -> list[slice]:
        """Row slices that take a few megabytes."""
        # A backward pass through an additive score holds `tanh(q + k)` of a whole tile.
        additive = isinstance(uncapped(self.score)[0], AdditiveScore)
        depth = self.query.shape[-1] // 8 if additive else 1
        return split_rows(self.layout.queries, _row_bytes(self.layout) * max(1, depth))

    def _normalized(self, scores: Array, rows: slice) -> Float[Array, "batch heads rows keys"]:
        weights = self.normalizer(scores, first_row=rows.start)
        if tuple(weights.shape) != tuple(scores.shape):
            raise ShapeError(
                f"{type(self.normalizer).__name__} returned shape {tuple(weights.shape)} for scores of "
                f"shape {tuple(scores.shape)}; expected one weight for each score"
            )
        return self.layout.xp.astype(weights, self.layout.dtype, copy=False)

    def _dropout_mask(
        self, rows: slice, dropout: float, seed: int
    ) -> Bool[Array, "batch heads rows keys"]:
        layout = self.layout
        heads, queries = range(layout.batch * layout.heads), range(rows.start, rows.stop)
        kept = random.dropout_mask(
            seed, heads, queries, range(layout.keys), rate=dropout, like=self.query
        )
        return layout.xp.reshape(kept, (layout.batch, layout.heads, len(queries), layout.keys))


@dataclass(frozen=True, eq=False)
class NonFinite:
    """Positions at which query, key and value held NaN or infinity.

    Attributes:
        query: Boolean, `(batch, heads, queries, 1)`.
        key: Boolean, `(batch, key_heads, keys, 1)`.
        value: Boolean, `(batch, key_heads, keys, 1)`.
        heads: of the query.
    """

    query: Array
    key: Array
    value: Array
    heads: int

    def scores(self, rows: slice) -> Bool[Array, "batch heads rows keys"]:
        """Pairs whose score is NaN, for some rows."""
        xp = namespace(key=self.key)
        key = xp.repeat(self.key, self.heads // self.key.shape[1], axis=1)
        return self.query[:, :, rows] | xp.matrix_transpose(key)

    def outputs(self, allowed: Bool[Array, "batch heads rows keys"]) -> Bool[Array, "b h rows 1"]:
        """Rows that may attend to a value that held NaN."""
        # A matrix product counts these values; grouped heads need no copy of the matrix.
        xp = namespace(allowed=allowed)
        may_attend, nonfinite = xp.astype(allowed, xp.float32), xp.astype(self.value, xp.float32)
        return grouped_matmul(may_attend, nonfinite) > 0

    def rows(
        self, problem: Problem
    ) -> tuple[Bool[Array, "batch heads queries"], Bool[Array, "batch heads queries"]]:
        """Rows whose weights are NaN and rows whose output is NaN, without the whole matrix."""
        query, key, value = (x[..., 0] for x in (self.query, self.key, self.value))
        every_key = key | ~key
        weights = _may_attend(problem, key) | (query & _may_attend(problem, every_key))
        return weights, weights | _may_attend(problem, value)


def _may_attend(
    problem: Problem, keys: Bool[Array, "batch key_heads keys"]
) -> Bool[Array, "batch heads queries"]:
    """Whether each query may attend to any of the keys marked `True`."""
    layout, xp = problem.layout, problem.layout.xp
    rows = (layout.batch, layout.heads, layout.queries)
    keys = xp.repeat(keys, layout.heads // keys.shape[1], axis=1)
    ranges = problem.key_ranges() if problem.bias is None else None
    if ranges is not None:
        # Running counts answer for a range of keys by one subtraction.
        count = xp.cumulative_sum(xp.astype(keys, xp.int64), axis=-1, include_initial=True)
        count = xp.broadcast_to(count, (*rows[:2], layout.keys + 1))
        low, high = (xp.broadcast_to(xp.astype(end, xp.int64), rows) for end in ranges)
        before, after = (take_along_last(count, end) for end in (low, high))
        return after > before
    parts = []
    for part in split_rows(layout.queries, layout.batch * layout.heads * layout.keys):
        marked = keys[:, :, None]
        allowed, bias = (
            tile(part, problem.every_key) for tile in (problem.mask_tile, problem.bias_tile)
        )
        if allowed is not None:
            marked = marked & allowed
        if bias is not None:
            marked = marked & (bias != -math.inf)
        parts.append(xp.broadcast_to(xp.any(marked, axis=-1), (*rows[:2], part.stop - part.start)))
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=2)


def make_problem(
    query: Array,
    key: Array,
    value: Array,
    *,
    score: Score,
    normalizer: Normalizer,
    mask: Any,
    bias: Any,
) -> Problem:
    """Check the arguments of `attend` and project query and key once.

    Raises:
        InputError: an argument that does not fit; see `attend`.
    """
    layout, (query, key, value) = AttentionLayout.of_inputs(query, key, value)
    if not isinstance(score, Score):
        raise InputError(f"score is {score!r}; expected one such as regard.scores.ScaledDot()")
    if not isinstance(normalizer, Normalizer):
        raise InputError(
            f"normalizer is {normalizer!r}; expected one such as regard.normalizers.Softmax()"
        )
    mask = None if mask is None else as_mask(mask)
    bias = None if bias is None else as_bias(bias)
    for part in (mask, bias):
        if part is not None:
            part.check(layout)
    nonfinite = None
    if mask is not None or bias is not None:
        query, key, value, nonfinite = split_nonfinite(query, key, value)
    query, key = _project(score, layout, query, key)
    return Problem(layout, query, key, value, score, normalizer, mask, bias, nonfinite)


def _project(
    score: Score, layout: AttentionLayout, query: Array, key: Array
) -> tuple[Array, Array]:
    """Query and key projected by the score, at least one of them with the whole batch.

    Raises:
        ShapeError: a projection that changes the number of positions, heads or examples.
    """
    key_heads = key.shape[1]
    query, key = score.project(query, key)
    for name, array, heads, length in (
        ("queries", query, (layout.heads,), layout.queries),
        ("keys", key, (key_heads, 1, layout.heads), layout.keys),
    ):
        sizes = tuple(array.shape)
        fits = len(sizes) == 4 and (sizes[0] == 1 or sizes[0] == layout.batch)
        if not fits or sizes[2] != length or not any(sizes[1] == count for count in heads):
            raise ShapeError(
                f"{type(score).__name__}.project returned {name} of shape {sizes}; expected "
                f"({layout.batch}, {heads[0]}, {length}, dim)"
            )
    if query.shape[0] == key.shape[0] == 1 != layout.batch:  # the batch was that of the key alone
        query = layout.xp.broadcast_to(query, (layout.batch, *query.shape[1:]))
    return query, key


def split_nonfinite(
    query: Array, key: Array, value: Array
) -> tuple[Array, Array, Array, NonFinite | None]:
    """Replace vectors that hold NaN or infinity by zeros, and mark their positions, if any.

    A product with a masked NaN is NaN, forward (0 * NaN) and backward, whatever the mask. The check
    costs one pass over the inputs and none over the matrix.
    """
    xp = namespace(query=query)
    if is_exporting() or (is_concrete(query) and all_finite(query, key, value)):
        return query, key, value, None
    marks = [~xp.all(xp.isfinite(x), axis=-1, keepdims=True) for x in (query, key, value)]
    clean = [xp.where(bad, 0.0, x) for bad, x in zip(marks, (query, key, value), strict=True)]
    return clean[0], clean[1], clean[2], NonFinite(marks[0], marks[1], marks[2], query.shape[1])


def _row_bytes(layout: AttentionLayout) -> int:
    width = 8 if layout.dtype == layout.xp.float64 else 4
    return layout.batch * layout.heads * layout.keys * width
