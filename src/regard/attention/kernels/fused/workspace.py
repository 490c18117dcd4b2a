"""What the kernels take and give: inputs, plan, answers, and a worker's memory."""

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
    """What attention is asked of. Empty arrays stand for what is not given."""

    query: Any
    """(batch, heads, queries, words) uint16: float32 or bfloat16 seen as 16-bit words."""
    key: Any
    """(batch, key_heads, keys, words) uint16."""
    value: Any
    """(batch, key_heads, keys, words) uint16."""
    scale: Any
    """float64: what dot products are multiplied by."""
    direction: Any
    """(features,) float32: the `v` of additive attention; empty for dot products."""
    low: Any
    """(batch or 1, heads or 1, queries) int64: the first key of each query."""
    high: Any
    """The one after its last."""
    allowed: Any
    """(batch or 1, heads or 1, queries or 1, keys or 1) bool, or empty."""
    bias: Any
    """The same of float32, added to the scores, or empty."""
    drop_below: Any
    """uint32: dropout's threshold; 0 for none."""
    survivor: Any
    """float64: `1 / (1 - rate)`."""
    row_keys: Any
    """(batch * heads, queries) uint32, or empty."""
    column_keys: Any
    """(keys,) uint32, or empty."""


class Outputs(NamedTuple):
    """Where results go. Empty arrays are not filled."""

    output: Any
    """(batch, heads, queries, words) uint16."""
    lse: Any
    """(batch, heads, queries) float64, natural; -inf where a query sees nothing."""
    entropy: Any
    """(batch, heads, queries) float32, in nats."""
    top_weights: Any
    """(batch, heads, queries, k) float32, descending; 0 beyond what a query sees."""
    top_places: Any
    """(batch, heads, queries, k) int64."""
    block_sum: Any
    """(batch, heads, query blocks, chunks) float32: sums of weights."""
    block_max: Any
    """The same: largest weights."""


class Gradients(NamedTuple):
    """What the backward pass takes beside the inputs, and where its gradients go."""

    output: Any
    """(batch, heads, queries, words) uint16: the gradient that arrives at the output."""
    lse: Any
    """(batch, heads, queries) float64, of the forward pass."""
    constant: Any
    """(batch, heads, queries) float32; see `backward`."""
    slope: Any
    """(batch, heads, queries) float32."""
    query: Any
    """(parts * batch * heads * queries, features) float32, to be added up over the parts."""
    key: Any
    """(batch * key_heads * keys, features) float32."""
    value: Any
    """(batch * key_heads * keys, values) float32."""
    direction: Any
    """(tasks, features) float64, to be added up."""


class BackwardWorkspace(NamedTuple):
    """One worker's memory in the backward pass."""

    query: Any
    key: Any
    value: Any
    out: Any
    """(rows, values) float32: the gradient of the output."""
    scores: Any
    flow: Any
    """(rows, columns) float32: the gradient of the weights, then of the scores."""
    key_slope: Any
    value_slope: Any
    part: Any
    """(features,) float32: what one query adds to the gradient of the direction."""


class ForwardWorkspace(NamedTuple):
    """One worker's memory, used again for every tile."""

    query: Any
    key: Any
    value: Any
    scores: Any
    out: Any
    most: Any
    """(rows,) float32: the largest score so far."""
    mass: Any
    """(rows,) float64: the sum of `2**(score - most)`."""
    moment: Any
    """(rows,) float64: the sum of the same times `score - most`."""
    chunk_max: Any
    """(rows, chunks of all keys) float32."""
    chunk_sum: Any
    """The same, relative to `reference`."""
    reference: Any
    """(rows, key tiles) float32: `most` when the tile went by."""
    firsts: Any
    """(key tiles + 1,) int64: the first chunk of each tile, and the end."""
    top_scores: Any
    """(rows, k or a little more) float32, descending."""
    top_places: Any
    """The same of int32."""
    peak: Any
    """(rows,) float32: the largest score of this tile of keys."""
    bound: Any
    """(rows,) float32: what a score must be above to enter the list of largest."""
    hits: Any
    """(limits.STRIP_ROWS * columns,) int64: chunks of a strip of rows with such scores."""
    lanes: Any
    """(MASK_LANES,) float32."""
    parts: Any
    """(SEGMENTS * LANES,) float32."""
    part: Any
    """(columns,) float32: what the keys received from a few queries."""
    total: Any
    """(columns,) float64: from all."""


def aligned(shape: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
    """Memory that begins with a cache line, and some that vectors may touch past its end.

    Vectors that lie across two lines cost a tenth of all time.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.zeros(size + limits.CACHE_LINE_BYTES + 4 * MASK_LANES, np.uint8)
    first = -memory.ctypes.data % limits.CACHE_LINE_BYTES
    cut: npt.NDArray[Any] = memory[first : first + size].view(kind)
    return cut.reshape(shape)


def make_forward_workspace(
    plan: ForwardPlan, inputs: Inputs, features: int, values: int, top: int
) -> ForwardWorkspace:
    """A worker's memory: a tile and, for each of its rows, what grows with the number of keys."""
    rows = int(np.diff(plan.row_tiles).max())
    columns = min(plan.columns, inputs.key.shape[2])
    chunks = plan.key_edges.size - 1
    tiles = min(chunks, 2 * -(-inputs.key.shape[2] // columns) + 1)  # a tile is at least half full
    stride = -(-columns // MASK_LANES) * MASK_LANES
    listed = -(-top // LANES) * LANES
    single = np.float32
    return ForwardWorkspace(
        query=aligned((rows, features), single),
        key=aligned((columns, features), single),
        value=aligned((columns, values), single),
        scores=aligned((rows, stride), single),
        out=aligned((rows, values), single),
        most=np.empty(rows, single),
        mass=np.empty(rows),
        moment=np.empty(rows),
        chunk_max=aligned((rows, chunks), single),
        chunk_sum=aligned((rows, chunks), single),
        reference=np.empty((rows, tiles), single),
        firsts=np.empty(tiles + 1, np.int64),
        top_scores=aligned((rows, listed), single),
        top_places=aligned((rows, listed), np.int32),
        peak=np.empty(rows, single),
        bound=np.empty(rows, single),
        hits=np.empty(limits.STRIP_ROWS * columns, np.int64),
        lanes=aligned((MASK_LANES,), single),
        parts=aligned((SEGMENTS * LANES,), single),
        part=np.empty(columns, single),
        total=np.empty(columns),
    )


def make_backward_workspace(split: BackwardPlan, features: int, values: int) -> BackwardWorkspace:
    """A worker's memory in the backward pass."""
    rows, columns, single = int(split.rows), int(split.columns), np.float32
    stride = -(-columns // MASK_LANES) * MASK_LANES
    return BackwardWorkspace(
        query=aligned((rows, features), single),
        key=aligned((columns, features), single),
        value=aligned((columns, values), single),
        out=aligned((rows, values), single),
        scores=aligned((rows, stride), single),
        flow=aligned((rows, stride), single),
        key_slope=np.empty((columns, features), single),
        value_slope=np.empty((columns, values), single),
        part=np.empty(features, single),
    )
