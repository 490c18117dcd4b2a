"""Whole rows of weights and scores of one head, a few queries at a time, for statistics that users compile.

Scores are made tile by tile, as in the one pass, and kept for whole rows: a row of weights is normalised before
anybody reads it.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regard.attention.kernels import limits
from regard.attention.kernels.fused.forward import normalizer_of
from regard.attention.kernels.fused.rowwise import has_nan, load_rows, mask_outside
from regard.attention.kernels.fused.tile import (
    LN2,
    add_mask,
    cap_row,
    head_of,
    key_range,
    score_tile,
    weight,
)
from regard.attention.kernels.fused.workspace import aligned
from regard.compiled.intrinsics import larger, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import NEGATIVE_INFINITY
from regard.compiled.simd import MASK_LANES

__all__ = ["RowWorkspace", "make_row_workspace", "weight_rows"]

PART = 512
"""Weights that are added up in float32, in loops of twice the width, before their sum goes to float64."""


class RowWorkspace(NamedTuple):
    """Memory of one worker: some rows of the matrix."""

    query: Any
    """(rows, features) float32."""
    key: Any
    """(columns, features) float32."""
    tile: Any
    """(rows, columns) float32: scores of one tile of keys, in bits."""
    scores: Any
    """(rows, keys) float32, natural; from the first key that a query of these rows may see."""
    weights: Any
    """(rows, keys) float32, of the same keys."""
    row_max: Any
    """(rows,) float32: the largest score, in bits."""
    lse: Any
    """(rows,) float64, natural."""
    seen: Any
    """(2,) int64: the first of the keys, and the one after the last."""


def make_row_workspace(rows: int, keys: int, features: int) -> RowWorkspace:
    """Memory for `rows` queries and all keys."""
    columns, single = min(limits.TILE_KEYS, keys), np.float32
    stride = -(-columns // MASK_LANES) * MASK_LANES
    return RowWorkspace(
        query=aligned((rows, features), single),
        key=aligned((columns, features), single),
        tile=aligned((rows, stride), single),
        scores=aligned((rows, keys), single),
        weights=aligned((rows, keys), single),
        row_max=np.empty(rows, single),
        lse=np.empty(rows),
        seen=np.empty(2, np.int64),
    )


@inlined
def store_scores(work, r, tile, first, width):
    """Copies a row of a tile to its place among the scores of the row, and keeps the largest."""
    wide_vectors()
    scores, most = work.scores[r, first : first + width], work.row_max[r]
    for j in range(scores.size):
        scores[j] = tile[j]
        most = larger(most, tile[j])
    work.row_max[r] = most


@inlined
def exponentials(scores, weights, most):
    """Writes `2**(score - most)` of each score; returns their sum, in float32."""
    total = np.float32(0)
    for j in range(weights.size):
        e = weight(scores[j], most)
        weights[j] = e
        total += e
    return total


@inlined
def normalize_row(work, r, count, sink):
    """Weights of a row from its scores, which become natural ones."""
    wide_vectors()
    scores, weights, most = work.scores[r], work.weights[r], work.row_max[r]
    if most == NEGATIVE_INFINITY:
        # Nothing is seen, or nothing that is a number.
        broken = has_nan(scores, count)
        work.lse[r] = np.nan if broken else LN2 * sink
        for j in range(count):
            weights[j] = np.float32(np.nan) if broken else np.float32(0)
        return
    total = 0.0
    for start in range(0, count, PART):
        stop = min(start + PART, count)
        total += exponentials(scores[start:stop], weights[start:stop], most)
    factor, lse, _ = normalizer_of(total, most, sink)
    work.lse[r] = LN2 * lse
    share = np.float32(factor)
    for j in range(count):
        weights[j] *= share
        scores[j] *= np.float32(LN2)


@compiled
def weight_rows(sgemm, work, inputs, b, h, first, rows):
    """Fills a workspace with the queries `[first, first + rows)` of one head.

    Args:
        sgemm: address of the matrix product.
        work: `RowWorkspace`.
        inputs: `Inputs`.
        b: the example.
        h: the query head.
        first: counted from the first query of the inputs.
        rows: number of queries.
    """
    key = inputs.key[b, h // (inputs.query.shape[1] // inputs.key.shape[1])]
    low, high = head_of(inputs.low, b, h), head_of(inputs.high, b, h)
    bias, allowed = head_of(inputs.bias, b, h), head_of(inputs.allowed, b, h)
    sink = head_of(inputs.sink, b, h) / LN2 if inputs.sink.size else -np.inf
    load_rows(inputs.query[b, h], first, rows, work.query)
    begin, end = key_range(low, high, first, rows)
    end = max(begin, end)
    work.seen[0], work.seen[1] = begin, end
    work.row_max[:] = NEGATIVE_INFINITY
    for j0 in range(begin, end, work.key.shape[0]):
        width = min(work.key.shape[0], end - j0)
        load_rows(key, j0, width, work.key)
        score_tile(sgemm, inputs, work.query, work.key, rows, width, work.tile)
        for r in range(rows):
            i, tile = first + r, work.tile[r]
            cap_row(tile, width, inputs.cap)
            add_mask(tile, bias, allowed, i, j0, width)
            mask_outside(tile, low[i] - j0, high[i] - j0, width)
            store_scores(work, r, tile, j0 - begin, width)
    for r in range(rows):
        normalize_row(work, r, end - begin, sink)
