"""The fused kernels as functions of NumPy arrays: memory, tiles and threads around the compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from regard.attention import random
from regard.attention.kernels.fused import backward as compiled_backward
from regard.attention.kernels.fused import forward as compiled_forward
from regard.attention.kernels.fused.arguments import (
    BackwardCall,
    CallArrays,
    CallSettings,
    ForwardCall,
    Requested,
    Results,
    result_shapes,
)
from regard.attention.kernels.fused.partition import (
    BlockEdges,
    block_edges,
    make_backward_plan,
    make_forward_plan,
)
from regard.attention.kernels.fused.workspace import (
    Gradients,
    Inputs,
    Outputs,
    make_backward_workspace,
    make_forward_workspace,
)
from regard.compiled.blas import find_gemm
from regard.compiled.threads import run_parallel

__all__ = ["attend", "backward", "make_inputs", "received"]

Words = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]

_NO_SINK = np.empty((1, 0), np.float32)


def attend(call: ForwardCall, *, words: int) -> Results:
    """Output, log-sum-exp and the requested statistics.

    Args:
        call: of NumPy arrays; query, key and value as 16-bit words.
        words: that make a number: 2 for float32, 1 for bfloat16.
    """
    arrays, settings, requested = call
    batch, heads, queries, _ = arrays.query.shape
    keys = arrays.key.shape[2]
    edges = block_edges(
        settings.first_row, queries, keys, requested.query_block, requested.key_block
    )
    plan = make_forward_plan(edges, masked=_is_masked(arrays))
    inputs, results = make_inputs(arrays, settings), _make_results(arrays, requested, edges)
    features, values = arrays.query.shape[3] // words, arrays.value.shape[3] // words
    work = float(batch * heads * queries) * keys * (features + values)

    def make_workspace() -> Any:
        return make_forward_workspace(plan, keys, features, values, requested.top)

    tiles = plan.row_tiles.size - 1
    in_one = requested.received and plan.whole
    of_tiles = np.empty((batch, heads, tiles, keys if in_one else 0))
    outputs = Outputs(*results[:-1], of_tiles)
    run_parallel(
        compiled_forward.forward, make_workspace, (inputs, plan, outputs), find_gemm(),
        tasks=batch * heads * tiles, work=work,
    )  # fmt: skip
    if in_one:  # whichever worker took a tile, the sum is in the order of tiles
        return results._replace(received=of_tiles.sum(2).astype(np.float32))
    if requested.received:
        return results._replace(received=received(call, results.lse, words=words))
    return results


def received(call: ForwardCall, lse: npt.NDArray[np.float64], *, words: int) -> Singles:
    """Attention that each key received: a sum over queries, which needs the final log-sum-exp of each.

    So it is a second pass, one task for each tile of keys. Its tiles do not follow blocks that the first pass
    pools: the sum is the same bits whatever else was asked.

    Args:
        call: as of `attend`.
        lse: `(batch, heads, queries)`, of the forward pass.
        words: that make a number.
    """
    arrays, settings, _ = call
    batch, heads, queries, _ = arrays.query.shape
    keys, features = arrays.key.shape[2], arrays.query.shape[3] // words
    edges = block_edges(settings.first_row, queries, keys, 0, 0)
    plan = make_forward_plan(edges, masked=_is_masked(arrays))
    found = np.empty((batch, heads, keys), np.float32)
    run_parallel(
        compiled_forward.received, lambda: make_forward_workspace(plan, keys, features, 0, 0),
        (make_inputs(arrays, settings), plan, lse, found), find_gemm(),
        tasks=batch * heads * -(-keys // plan.columns),
        work=float(batch * heads * queries) * keys * features,
    )  # fmt: skip
    return found


def _is_masked(arrays: CallArrays) -> bool:
    """Whether some query does not see all keys."""
    return bool((arrays.high - arrays.low < arrays.key.shape[2]).any())


def backward(call: BackwardCall, *, words: int) -> tuple[Singles, Singles, Singles, Singles]:
    """The gradients of query, key, value and vector.

    Args:
        call: of NumPy arrays; query, key, value and the gradient of the output as 16-bit words.
        words: that make a number: 2 for float32, 1 for bfloat16.
    """
    arrays, settings, rows = call
    batch, heads, queries, width = arrays.query.shape
    key_heads, keys = arrays.key.shape[1:3]
    features, values = width // words, arrays.value.shape[3] // words
    plan = make_backward_plan(queries, keys, batch * key_heads)
    ranges = len(plan.key_ranges) - 1
    tasks = batch * key_heads * ranges
    gradients = Gradients(
        *rows,
        query=np.zeros((ranges * batch * heads * queries, features), np.float32),
        key=np.empty((batch * key_heads * keys, features), np.float32),
        value=np.empty((batch * key_heads * keys, values), np.float32),
        vector=np.zeros((tasks, features if arrays.vector is not None else 0)),
    )
    run_parallel(
        compiled_backward.backward, lambda: make_backward_workspace(plan, features, values),
        (make_inputs(arrays, settings), plan, gradients), find_gemm(), tasks=tasks,
        work=float(batch * heads * queries) * keys * (3 * features + 2 * values),
    )  # fmt: skip
    # Each range of keys has a gradient of the queries of its own, so that no two workers add to one place.
    by_range = gradients.query.reshape(ranges, batch, heads, queries, features)
    return (
        by_range[0] if ranges == 1 else by_range.sum(0),
        gradients.key.reshape(batch, key_heads, keys, features),
        gradients.value.reshape(batch, key_heads, keys, values),
        gradients.vector.sum(0).astype(np.float32),
    )


def make_inputs(arrays: CallArrays, settings: CallSettings) -> Inputs:
    """The arrays as the kernels take them, with the keys of dropout's hash."""
    batch, heads, queries, _ = arrays.query.shape
    no_words = np.empty(0, np.uint32)
    row_keys, column_keys = no_words.reshape(0, 0), no_words
    if settings.dropout:
        rows = np.arange(settings.first_row, settings.first_row + queries)
        row_keys = random.row_keys(settings.seed, np.arange(batch * heads), rows)
        column_keys = random.column_keys(settings.seed, np.arange(arrays.key.shape[2]))
    nothing = np.empty((1, 1, 0, 0), np.float32)
    return Inputs(
        query=arrays.query,
        key=arrays.key,
        value=arrays.value,
        scale=float(settings.scale),
        vector=np.empty(0, np.float32) if arrays.vector is None else arrays.vector,
        cap=float(settings.cap),
        sink=np.ascontiguousarray(_NO_SINK if arrays.sink is None else arrays.sink),
        low=arrays.low,
        high=arrays.high,
        allowed=nothing.astype(np.bool_) if arrays.allowed is None else arrays.allowed,
        bias=nothing if arrays.bias is None else arrays.bias,
        drop_below=np.uint32(random.drop_threshold(settings.dropout)),
        keep_scale=1 / (1 - settings.dropout),
        row_keys=np.ascontiguousarray(row_keys),
        column_keys=np.ascontiguousarray(column_keys),
    )


def _make_results(arrays: CallArrays, requested: Requested, edges: BlockEdges) -> Results:
    """Arrays for the results. Blocks begin at 0, as rows and tiles add to them."""
    shapes = result_shapes(arrays, requested, edges if requested.key_block else None)
    return Results(
        output=np.empty(shapes.output, np.uint16),
        lse=np.empty(shapes.lse),
        entropy=np.empty(shapes.entropy, np.float32),
        max_score=np.empty(shapes.max_score, np.float32),
        top_weights=np.empty(shapes.top_weights, np.float32),
        top_indices=np.empty(shapes.top_indices, np.int64),
        block_sum=np.zeros(shapes.block_sum, np.float32),
        block_max=np.zeros(shapes.block_max, np.float32),
        received=np.empty(shapes.received, np.float32),
    )
