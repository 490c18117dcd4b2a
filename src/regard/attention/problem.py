"""One attention problem, checked and projected, that can give any rows of its matrix.

`Problem.weights(rows)` is the slow, readable twin that defines what is right: score, mask,
normalise, for a few query rows and all their keys. Every fast path in `kernels/` is tested against
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from regard.attention import random
from regard.attention.arrays import (
    accumulation_dtype,
    all_finite,
    device_of,
    grouped_matmul,
    is_concrete,
    namespace,
    no_autocast,
    split_rows,
)
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask, as_mask
from regard.attention.normalizers import Normalizer
from regard.attention.positions import Bias, as_bias
from regard.attention.scores import AdditiveScore, Score
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Bool, Float

__all__ = ["DenseMatrix", "Problem", "RowSource", "ScaledColumns", "make_problem"]


@runtime_checkable
class RowSource(Protocol):
    """Anything that can give rows of an attention matrix."""

    @property
    def layout(self) -> AttentionLayout:
        """The sizes of the matrix."""
        ...

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Some rows, in `layout.dtype`, masked places 0."""
        ...

    def tiles(self) -> list[slice]:
        """All rows, in slices small enough to have at once."""
        ...


@dataclass(frozen=True, eq=False)
class DenseMatrix:
    """A matrix that exists."""

    layout: AttentionLayout
    matrix: Float[Array, "batch heads queries keys"]

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Rows of the matrix."""
        return self.layout.xp.astype(self.matrix[:, :, rows], self.layout.dtype)

    def tiles(self) -> list[slice]:
        """The matrix is there already: few tiles."""
        return split_rows(self.layout.queries, _row_bytes(self.layout))


@dataclass(frozen=True, eq=False)
class ScaledColumns:
    """Another matrix, each column times a number."""

    source: RowSource
    factor: Float[Array, "batch heads 1 keys"]

    @property
    def layout(self) -> AttentionLayout:
        """That of the other matrix."""
        return self.source.layout

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Its rows, scaled; 0 stays 0, whatever the number."""
        weights = self.source.weights(rows)
        return self.layout.xp.where(weights == 0, 0.0, weights * self.factor)

    def tiles(self) -> list[slice]:
        """Its tiles."""
        return self.source.tiles()


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything `attend` was given, ready to answer for any rows.

    Attributes:
        query: projected, `(batch, heads, queries, dim)`; so are `key` and `value`, whose heads may
            be fewer.
        nonfinite: which queries, keys and values held NaN or infinity, when something is masked. They
            are zeros in the arrays above, so that a masked one cannot leak, and come back in the
            places that are allowed to see them. `None` if there are none; while a function is
            traced there may be.
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
        scores = self.score.pair(
            xp.astype(self.query[:, :, rows], layout.dtype), xp.astype(self.key, layout.dtype)
        )
        if self.nonfinite is not None:
            scores = xp.where(self.nonfinite.pairs(rows), math.nan, scores)
        if self.bias is not None:
            bias = self.bias.tile(layout, rows, slice(0, layout.keys))
            # The largest number in place of infinity: it takes all the weight, and inf - inf is no
            # more.
            scores = xp.where(bias == -math.inf, -math.inf, scores + xp.astype(bias, layout.dtype))
            scores = xp.where(scores == math.inf, xp.finfo(layout.dtype).max, scores)
        if self.mask is not None:
            allowed = self.mask.tile(layout, rows, slice(0, layout.keys))
            scores = xp.where(allowed, scores, -math.inf)
        return scores

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """The attention weights of some rows."""
        with no_autocast(self.query):
            return self.normalizer(self.scores(rows), first_row=rows.start)

    def output(self, rows: slice, dropout: float, seed: int) -> Float[Array, "batch heads rows dv"]:
        """Weights, thinned by dropout, times values."""
        xp, layout = self.layout.xp, self.layout
        with no_autocast(self.query):
            scores = self.scores(rows)
            weights = self.normalizer(scores, first_row=rows.start)
            if dropout:
                weights = xp.where(self._kept(rows, dropout, seed), weights / (1 - dropout), 0.0)
            output = grouped_matmul(weights, xp.astype(self.value, layout.dtype))
        if self.nonfinite is not None:
            output = xp.where(self.nonfinite.reached(scores != -math.inf), math.nan, output)
        return xp.astype(output, self.value.dtype)

    def _kept(self, rows: slice, dropout: float, seed: int) -> Bool[Array, "batch heads rows keys"]:
        layout = self.layout
        heads, at = range(layout.batch * layout.heads), range(rows.start, rows.stop)
        kept = random.dropout_mask(
            seed, heads, at, range(layout.keys), rate=dropout, like=self.query
        )
        return layout.xp.reshape(kept, (layout.batch, layout.heads, len(at), layout.keys))

    def tiles(self) -> list[slice]:
        """Row slices that take a few megabytes."""
        # A backward pass through an additive score holds `tanh(q + k)` of a whole tile.
        depth = self.query.shape[-1] // 8 if isinstance(self.score, AdditiveScore) else 1
        return split_rows(self.layout.queries, _row_bytes(self.layout) * max(1, depth))


@dataclass(frozen=True, eq=False)
class NonFinite:
    """Positions that held NaN or infinity: `(batch, heads, length, 1)` each."""

    query: Array
    key: Array
    value: Array
    heads: int

    def pairs(self, rows: slice) -> Bool[Array, "batch heads rows keys"]:
        """Pairs whose score would be NaN."""
        xp = namespace(key=self.key)
        key = xp.repeat(self.key, self.heads // self.key.shape[1], axis=1)
        return self.query[:, :, rows] | xp.matrix_transpose(key)

    def rows(
        self, problem: Problem
    ) -> tuple[Bool[Array, "batch heads queries"], Bool[Array, "batch heads queries"]]:
        """Rows whose weights are NaN, and rows whose output is, found without the matrix."""
        query, key, value = (x[..., 0] for x in (self.query, self.key, self.value))
        weights = _sees(problem, key) | (query & _sees(problem, key | ~key))
        return weights, weights | _sees(problem, value)

    def reached(self, allowed: Bool[Array, "batch heads rows keys"]) -> Bool[Array, "b h rows 1"]:
        """Rows that are allowed to see a value that held NaN."""
        xp = namespace(allowed=allowed)
        seen, bad = xp.astype(allowed, xp.float32), xp.astype(self.value, xp.float32)
        return grouped_matmul(seen, bad) > 0


def _sees(
    problem: Problem, which: Bool[Array, "batch key_heads keys"]
) -> Bool[Array, "batch heads queries"]:
    """Whether a query may see any of these keys."""
    layout, xp, mask, bias = problem.layout, problem.layout.xp, problem.mask, problem.bias
    rows = (layout.batch, layout.heads, layout.queries)
    which = xp.repeat(which, layout.heads // which.shape[1], axis=1)
    ranges = None if mask is None or bias is not None else mask.intervals(layout)
    if ranges is not None:
        count = xp.cumulative_sum(xp.astype(which, xp.int64), axis=-1, include_initial=True)
        count = xp.broadcast_to(count, (*rows[:2], layout.keys + 1))
        low, high = (xp.broadcast_to(xp.astype(end, xp.int64), rows) for end in ranges)
        before, after = (xp.take_along_axis(count, end, axis=-1) for end in (low, high))
        return after > before
    parts, everything = [], slice(0, layout.keys)
    for part in split_rows(layout.queries, layout.batch * layout.heads * layout.keys):
        seen = which[:, :, None]
        if mask is not None:
            seen = seen & mask.tile(layout, part, everything)
        if bias is not None:
            seen = seen & (bias.tile(layout, part, everything) != -math.inf)
        parts.append(xp.broadcast_to(xp.any(seen, axis=-1), (*rows[:2], part.stop - part.start)))
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
    """Checks everything `attend` was given and projects it once.

    Raises:
        InputError: whatever does not fit; see `attend`.
    """
    layout, (query, key, value) = _lay_out(query, key, value)
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
    query, key = score.project(query, key)
    return Problem(layout, query, key, value, score, normalizer, mask, bias, nonfinite)


def _lay_out(
    query: Array, key: Array, value: Array
) -> tuple[AttentionLayout, tuple[Array, Array, Array]]:
    """Four axes for everything, and the sizes of the matrix."""
    arrays = {"query": query, "key": key, "value": value}
    xp = namespace(**arrays)
    for name, array in arrays.items():
        if not xp.isdtype(array.dtype, "real floating"):
            raise InputError(f"{name} holds {array.dtype}; expected floats (convert it first)")
        if not 2 <= array.ndim <= 4:
            raise ShapeError(
                f"{name} has shape {tuple(array.shape)}; expected 2 to 4 axes, "
                "(batch, heads, length, features)"
            )
    rank = max(array.ndim for array in arrays.values())
    query, key, value = (_four_axes(xp, array, rank) for array in arrays.values())
    _check_sizes(query, key, value)
    layout = AttentionLayout(
        batch=max(query.shape[0], key.shape[0]),
        heads=query.shape[1],
        queries=query.shape[2],
        keys=key.shape[2],
        rank=rank,
        xp=xp,
        device=device_of(query),
        dtype=accumulation_dtype(xp, query, key, value),
    )
    return layout, (query, key, value)


def _four_axes(xp: Any, array: Array, rank: int) -> Array:
    if rank == 3 and array.ndim == 3:
        return array[:, None]
    return xp.reshape(array, (1,) * (4 - array.ndim) + tuple(array.shape))


def _check_sizes(query: Array, key: Array, value: Array) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if key.shape[2] != value.shape[2]:
        raise ShapeError(
            f"key has {key.shape[2]} positions, value has {value.shape[2]}; each key needs a value"
        )
    if key.shape[:2] != value.shape[:2]:
        raise ShapeError(f"key and value differ in batch or heads: {shapes}")
    if query.shape[0] != key.shape[0] and 1 not in (query.shape[0], key.shape[0]):
        raise ShapeError(f"query has a batch of {query.shape[0]}, key of {key.shape[0]}: {shapes}")
    if key.shape[1] == 0 or query.shape[1] % key.shape[1]:
        raise ShapeError(
            f"query has {query.shape[1]} heads, key has {key.shape[1]}; the query's must be a "
            "multiple of the key's (grouped heads)"
        )


def split_nonfinite(
    query: Array, key: Array, value: Array
) -> tuple[Array, Array, Array, NonFinite | None]:
    """The arrays with NaN and infinity replaced by 0, and where those were, if anywhere.

    A product with a masked NaN is NaN, forward (0 * NaN) and backward, whatever the mask. Looking
    first costs one pass over the inputs and none over the matrix.
    """
    xp = namespace(query=query)
    if is_concrete(query) and all_finite(query, key, value):
        return query, key, value, None
    bad = [~xp.all(xp.isfinite(x), axis=-1, keepdims=True) for x in (query, key, value)]
    clean = [xp.where(b, 0.0, x) for b, x in zip(bad, (query, key, value), strict=True)]
    return clean[0], clean[1], clean[2], NonFinite(bad[0], bad[1], bad[2], query.shape[1])


def _row_bytes(layout: AttentionLayout) -> int:
    return int(
        layout.batch * layout.heads * layout.keys * (8 if layout.dtype == layout.xp.float64 else 4)
    )
