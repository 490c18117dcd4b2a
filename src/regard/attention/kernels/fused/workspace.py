"""What compiled kernels read and write: inputs, outputs, and the memory of one worker.

Every class here is a named tuple of arrays and numbers, which Numba compiles as a structure. Empty
arrays stand for what was not given or not requested: a kernel is compiled once for both cases.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regard.attention.kernels import limits
from regard.attention.kernels.fused.partition import BackwardPlan, ForwardPlan
from regard.compiled.simd import LANES, MASK_LANES, SEGMENTS

__all__ = [
    "BackwardWorkspace",
    "ForwardWorkspace",
    "Gradients",
    "Inputs",
    "Outputs",
    "make_backward_workspace",
    "make_forward_workspace",
]


class Inputs(NamedTuple):
    """What attention is computed from."""

    query: Any
    """(batch, heads, queries, words) uint16: float32 or bfloat16 seen as 16-bit words."""
    key: Any
    """(batch, key_heads, keys, words) uint16."""
    value: Any
    """(batch, key_heads, keys, words) uint16."""
    scale: Any
    """float64: what dot products are multiplied by."""
    vector: Any
    """(features,) float32: the `v` of additive attention; empty for dot products."""
    cap: Any
    """float64: `c` of scores `c tanh(s / c)`; 0 for none."""
    sink: Any
    """(batch or 1, heads or 1) float32: one more logit below the line, or empty."""
    low: Any
    """(batch or 1, heads or 1, queries) int64: the first key of each query."""
    high: Any
    """(batch or 1, heads or 1, queries) int64: the one after its last."""
    allowed: Any
    """(batch or 1, heads or 1, queries or 1, keys or 1) bool, or empty."""
    bias: Any
    """(batch or 1, heads or 1, queries or 1, keys or 1) float32, added to the scores, or empty."""
    drop_below: Any
    """uint32: weights whose hash is below are dropped; 0 for no dropout."""
    keep_scale: Any
    """float64: `1 / (1 - rate)`, by which the weights that dropout keeps grow."""
    row_keys: Any
    """(batch * heads, queries) uint32, of dropout's hash; or empty."""
    column_keys: Any
    """(keys,) uint32, of dropout's hash; or empty."""


class Outputs(NamedTuple):
    """Where the forward pass writes its results. Empty arrays are not filled."""

    output: Any
    """(batch, heads, queries, words) uint16."""
    lse: Any
    """(batch, heads, queries) float64; see `arguments.Results`."""
    entropy: Any
    """(batch, heads, queries) float32, in nats."""
    max_score: Any
    """(batch, heads, queries) float32: the largest score; -inf where a query sees nothing."""
    top_weights: Any
    """(batch, heads, queries, k) float32, descending; 0 beyond what a query sees."""
    top_indices: Any
    """(batch, heads, queries, k) int64."""
    block_sum: Any
    """(batch, heads, query parts, chunks) float32: sums of weights."""
    block_max: Any
    """(batch, heads, query parts, chunks) float32: largest weights."""
    received: Any
    """(batch, heads, tiles of queries, keys) float64: sums of columns where rows are whole, else empty."""


class Gradients(NamedTuple):
    """What the backward pass takes beside the inputs, and where it writes its gradients."""

    output: Any
    """(batch, heads, queries, words) uint16: the gradient that arrives at the output."""
    lse: Any
    """(batch, heads, queries) float64, of the forward pass."""
    constant: Any
    """(batch, heads, queries) float32; see `backward`."""
    slope: Any
    """(batch, heads, queries) float32; see `backward`."""
    query: Any
    """(key ranges * batch * heads * queries, features) float32, to be summed over the key ranges."""
    key: Any
    """(batch * key_heads * keys, features) float32."""
    value: Any
    """(batch * key_heads * keys, values) float32."""
    vector: Any
    """(tasks, features) float64, to be summed over the tasks."""


class ForwardWorkspace(NamedTuple):
    """Memory of one worker in the forward pass: a tile, and what each of its rows has come to."""

    query: Any
    """(rows, features) float32."""
    key: Any
    """(columns, features) float32."""
    value: Any
    """(columns, values) float32."""
    scores: Any
    """(rows, columns) float32; become weights."""
    out: Any
    """(rows, values) float32: the output so far, not yet divided by `row_sum`."""
    row_max: Any
    """(rows,) float32: the largest score so far, `m`."""
    row_sum: Any
    """(rows,) float64: the sum of `2**(score - row_max)`, `l`."""
    row_moment: Any
    """(rows,) float64: the sum of `2**(score - row_max) * (score - row_max)`, `a`."""
    chunk_max: Any
    """(rows, chunks of all keys) float32: the largest score of each chunk."""
    chunk_sum: Any
    """(rows, chunks of all keys) float32: sums of weights, relative to `reference` of their tile."""
    reference: Any
    """(rows, key tiles) float32: `row_max` when each tile was worked on."""
    first_chunks: Any
    """(key tiles + 1,) int64: the first chunk of each tile, and the end."""
    top_scores: Any
    """(rows, k rounded up to whole vectors) float32, descending."""
    top_indices: Any
    """(rows, k rounded up to whole vectors) int32."""
    tile_max: Any
    """(rows,) float32: the largest score in this tile of keys."""
    bound: Any
    """(rows,) float32: what a score must exceed to enter the list of largest."""
    candidates: Any
    """(STRIP_ROWS * columns,) int64: chunks of a strip of rows with such scores."""
    lanes: Any
    """(MASK_LANES,) float32: maxima by lane, for the first bound of a row."""
    parts: Any
    """(SEGMENTS * LANES,) float32: see `simd.segment_sums`."""
    received_part: Any
    """(columns,) float32: what the keys received from the last few queries."""
    largest_part: Any
    """(columns,) float32: the largest weights of these queries."""
    received_total: Any
    """(columns,) float64: what they received from all queries before."""


class BackwardWorkspace(NamedTuple):
    """Memory of one worker in the backward pass."""

    query: Any
    """(rows, features) float32."""
    key: Any
    """(columns, features) float32."""
    value: Any
    """(columns, values) float32."""
    out_grad: Any
    """(rows, values) float32: the gradient of the output."""
    scores: Any
    """(rows, columns) float32; become weights."""
    grad: Any
    """(rows, columns) float32: the gradient of the weights, then of the scores."""
    cap_slope: Any
    """(columns,) float32: the derivative of the cap at each score of a row."""
    key_grad: Any
    """(columns, features) float32."""
    value_grad: Any
    """(columns, values) float32."""
    vector_part: Any
    """(features,) float32: what one query adds to the gradient of the vector."""


def aligned(shape: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
    """Zeros that begin with a cache line, with memory behind them that whole vectors may touch."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.zeros(size + limits.CACHE_LINE_BYTES + 4 * MASK_LANES, np.uint8)
    first = -memory.ctypes.data % limits.CACHE_LINE_BYTES
    array: npt.NDArray[Any] = memory[first : first + size].view(kind)
    return array.reshape(shape)


def make_forward_workspace(
    plan: ForwardPlan, keys: int, features: int, values: int, top: int
) -> ForwardWorkspace:
    """Memory of a worker: a tile and, for each of its rows, what grows with the number of keys."""
    rows = int(np.diff(plan.row_tiles).max())
    columns = min(plan.columns, keys)
    chunks = plan.key_edges.size - 1
    # Tiles of keys are made of whole chunks; a tile is closed when the next chunk would not fit, so that
    # two neighbours together are longer than one full tile.
    tiles = min(chunks, 2 * -(-keys // columns) + 1)
    stride = -(-columns // MASK_LANES) * MASK_LANES
    listed = -(-top // LANES) * LANES
    single = np.float32
    return ForwardWorkspace(
        query=aligned((rows, features), single),
        key=aligned((columns, features), single),
        value=aligned((columns, values), single),
        scores=aligned((rows, stride), single),
        out=aligned((rows, values), single),
        row_max=np.empty(rows, single),
        row_sum=np.empty(rows),
        row_moment=np.empty(rows),
        chunk_max=aligned((rows, chunks), single),
        chunk_sum=aligned((rows, chunks), single),
        reference=np.empty((rows, tiles), single),
        first_chunks=np.empty(tiles + 1, np.int64),
        top_scores=aligned((rows, listed), single),
        top_indices=aligned((rows, listed), np.int32),
        tile_max=np.empty(rows, single),
        bound=np.empty(rows, single),
        candidates=np.empty(limits.STRIP_ROWS * columns, np.int64),
        lanes=aligned((MASK_LANES,), single),
        parts=aligned((SEGMENTS * LANES,), single),
        received_part=aligned((columns,), single),
        largest_part=aligned((columns,), single),
        received_total=np.empty(columns),
    )


def make_backward_workspace(plan: BackwardPlan, features: int, values: int) -> BackwardWorkspace:
    """Memory of a worker in the backward pass: one tile."""
    rows, columns, single = int(plan.rows), int(plan.columns), np.float32
    stride = -(-columns // MASK_LANES) * MASK_LANES
    return BackwardWorkspace(
        query=aligned((rows, features), single),
        key=aligned((columns, features), single),
        value=aligned((columns, values), single),
        out_grad=aligned((rows, values), single),
        scores=aligned((rows, stride), single),
        grad=aligned((rows, stride), single),
        cap_slope=aligned((stride,), single),
        key_grad=np.empty((columns, features), single),
        value_grad=np.empty((columns, values), single),
        vector_part=np.empty(features, single),
    )
