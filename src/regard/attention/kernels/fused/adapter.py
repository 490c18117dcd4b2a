"""From a problem to calls of the fused kernels and back.

Decides what fits, cuts the rows so that a mask or bias stays small, and joins what the calls return.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import broadcast_heads, is_concrete, split_rows, stop_gradient
from regard.attention.kernels import limits
from regard.attention.kernels.fused.arguments import (
    BackwardCall,
    CallArrays,
    CallSettings,
    ForwardCall,
    Requested,
    Results,
    RowGradients,
)
from regard.attention.kernels.fused.partition import BlockEdges, block_edges, has_whole_rows
from regard.attention.kernels.fused.pooled import join_parts
from regard.attention.kernels.fused.workspace import Inputs
from regard.attention.kernels.parameters import Parameters
from regard.attention.kernels.statistics import NamedStatistic, propagate_nan
from regard.attention.layout import AttentionLayout
from regard.attention.normalizers import softmax_of
from regard.attention.pooling import block_size
from regard.attention.problem import Problem
from regard.attention.scores import additive_vector, dot_factor, uncapped
from regard.shapes import Array

__all__ = [
    "fits",
    "fits_float32",
    "gradients",
    "is_on_gpu",
    "one_pass",
    "received",
    "row_inputs",
    "rows",
]


class RowBlock(NamedTuple):
    """Some rows of the matrix, with their queries and their part of the mask and bias.

    Attributes:
        start: the first row, of the whole matrix.
        stop: the one after the last.
        query: `(batch, heads, rows, features)`.
        low: the first key of each row, `(batch or 1, heads or 1, rows)`.
        high: the one after its last.
        allowed: a mask that is no range, `(batch or 1, heads or 1, rows or 1, keys or 1)`.
        bias: of that shape, float32.
    """

    start: int
    stop: int
    query: Array
    low: Array
    high: Array
    allowed: Array | None
    bias: Array | None


def fits(problem: Problem, statistics: tuple[NamedStatistic, ...] = ()) -> bool:
    """Whether the kernels support normaliser, score, type, device and statistics of a problem."""
    layout, arrays = problem.layout, (problem.query, problem.key, problem.value)
    return (
        softmax_of(problem.normalizer) is not None
        and (_scale(problem) is not None or _vector(problem) is not None)
        and (problem.nonfinite is None or not is_concrete(problem.query))
        and len({a.dtype for a in arrays}) == 1
        and _is_device_supported(problem, statistics)
        and min(layout.batch, layout.heads, layout.queries, layout.keys, problem.query.shape[-1])
        > 0
        and all(_is_supported(which, problem) for which in statistics)
    )


def fits_float32(problem: Problem) -> bool:
    """Whether scores are small enough for statistics in float32; see `limits.FUSED_MAX_SCORE_FLOAT32`.

    Scores are bounded by the product of the longest query and the longest key (Cauchy and Schwarz),
    which takes no look at the matrix. A cap bounds them, too: it shrinks the error of a score `s` by
    `1 - tanh(s / c)^2`, to that of a score of `0.45 c` at most. Additive scores are made in the kernel
    itself and not bounded here.
    """
    scale, (_, cap) = _scale(problem), uncapped(problem.score)
    if scale is None or (cap is not None and cap <= limits.FUSED_MAX_SCORE_FLOAT32):
        return True
    xp = problem.layout.xp
    query, key = (
        float(xp.max(xp.sum(xp.astype(stop_gradient(x), xp.float32) ** 2, axis=-1)))
        for x in (problem.query, problem.key)
    )
    return abs(scale) * math.sqrt(query * key) <= limits.FUSED_MAX_SCORE_FLOAT32


def one_pass(
    problem: Problem, statistics: tuple[NamedStatistic, ...], *, dropout: float = 0.0, seed: int = 0
) -> tuple[Array, Mapping[NamedStatistic, Any]] | None:
    """Output and statistics of a problem that `fits`; `None` if its bias needs a gradient.

    Args:
        problem: what `attend` was given.
        statistics: what to compute beside the output.
        dropout: probability that a weight is left out of the output.
        seed: of the dropout.

    Returns:
        The output, `(batch, heads, queries, values)`, and what `AttentionMap` computes for each statistic.
    """
    layout = problem.layout
    requested = _requested(statistics, layout)
    found = _results(problem, requested, dropout, seed)
    if found is None:
        return None
    results, starts = found
    edges = _joined_edges(starts, layout, requested) if requested.key_block else None
    nan_rows = _nan_rows(results.lse)
    return results.output, {
        which: _statistic(which, results, nan_rows, layout, edges) for which in statistics
    }


def rows(problem: Problem, top: int) -> Results | None:
    """Output, log-sum-exp, entropy, largest score and weights of a problem that `fits`, as the kernel has them.

    Args:
        problem: a matrix, or a block of a larger one whose rows go on in other blocks.
        top: length of the lists of largest weights.

    Returns:
        `None` if the bias needs a gradient.
    """
    found = _results(problem, Requested(entropy=True, top=top, max_score=True), 0.0, 0)
    return None if found is None else found[0]


def received(problem: Problem, lse: Array) -> Array | None:
    """Attention that each key received, of a problem on a processor that `fits`; `None` as of `one_pass`.

    Args:
        problem: of arrays with values, without gradients.
        lse: `(batch, heads, queries)` float64, as the kernel gave it.
    """
    query, key, value = _broadcast_inputs(problem)
    vector, sink = _kernel_parameters(problem)
    run, total = _received_torch if compat.is_torch_array(query) else _received_numpy, 0
    for block in _row_blocks(problem, query):
        if _needs_gradient(block.bias):
            return None
        arrays = CallArrays(
            block.query, key, value, block.low, block.high, vector, block.allowed, block.bias, sink
        )
        call = ForwardCall(arrays, _settings(problem, 0.0, 0, block.start), Requested())
        total = total + run(call, lse[:, :, block.start : block.stop])
    return _with_nan(("received",), total, _nan_rows(lse))


def _results(
    problem: Problem, requested: Requested, dropout: float, seed: int
) -> tuple[Results, list[tuple[int, int]]] | None:
    """The results of all rows, and where each call's rows begin and end."""
    query, key, value = _broadcast_inputs(problem)
    vector, sink = _kernel_parameters(problem)
    run = _run_torch if compat.is_torch_array(query) else _run_numpy
    parts, starts = [], []
    for block in _row_blocks(problem, query):
        if _needs_gradient(block.bias):
            return None
        arrays = CallArrays(
            block.query, key, value, block.low, block.high, vector, block.allowed, block.bias, sink
        )
        settings = _settings(problem, dropout, seed, block.start)
        parts.append(run(ForwardCall(arrays, settings, requested)))
        starts.append((block.start, block.stop))
    return parts[0] if len(parts) == 1 else _concat(problem.layout.xp, parts), starts


def gradients(
    problem: Problem, output_grad: Array, lse: Array, constant: Array, slope: Array
) -> tuple[Array, Array, Array]:
    """Gradients of query, key and value of a problem of torch tensors that `fits`.

    Args:
        problem: a matrix, or a block of a larger one whose rows go on in other blocks.
        output_grad: as all that follow, of `RowGradients`.
        lse: of whole rows.
        constant: of each row.
        slope: of each row.
    """
    from regard.attention.kernels.fused import torch_ops

    query, key, value = _broadcast_inputs(problem)
    vector, sink = (None if x is None else stop_gradient(x) for x in _kernel_parameters(problem))
    of_query, of_key, of_value = [], 0, 0
    for block in _row_blocks(problem, query):
        arrays = CallArrays(
            block.query, key, value, block.low, block.high, vector, block.allowed, block.bias, sink
        )
        rows = slice(block.start, block.stop)
        given = RowGradients(
            output_grad[:, :, rows].to(value.dtype),
            lse[:, :, rows],
            *(x[:, :, rows].float() for x in (constant, slope)),
        )
        found = torch_ops.attend_backward(
            *BackwardCall(arrays, _settings(problem, 0.0, 0, block.start), given).flat()
        )
        of_query.append(found[0])
        of_key, of_value = of_key + found[1], of_value + found[2]
    whole = _concat_rows(problem.layout.xp, of_query)
    three = (whole, of_key, of_value), (problem.query, problem.key, problem.value)
    return tuple(_unbroadcast(grad, x) for grad, x in zip(*three, strict=True))


def _concat_rows(xp: Any, parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=2)


def _unbroadcast(grad: Array, like: Array) -> Array:
    """The gradient of an array whose batch or heads were repeated: the sum over the copies."""
    if grad.shape[1] != like.shape[1]:
        grad = grad.unflatten(1, (like.shape[1], -1)).sum(2)
    return grad.sum(0, keepdim=True) if grad.shape[0] != like.shape[0] else grad


def _run_torch(call: ForwardCall) -> Results:
    from regard.attention.kernels.fused import torch_ops

    return Results(*torch_ops.attend(*call.flat()))


def row_inputs(problem: Problem) -> Iterator[tuple[int, Inputs | None]]:
    """The first row of each call and what the processor's kernels take, of a problem that `fits`.

    `None` in place of a call whose bias needs a gradient.
    """
    from regard.attention.kernels.fused import cpu

    query, key, value = _broadcast_inputs(problem)
    vector, sink = _kernel_parameters(problem)
    for block in _row_blocks(problem, query):
        arrays = CallArrays(
            block.query, key, value, block.low, block.high, vector, block.allowed, block.bias, sink
        )
        if _needs_gradient(block.bias):
            yield block.start, None
            continue
        call = ForwardCall(arrays, _settings(problem, 0.0, 0, block.start), Requested())
        if compat.is_torch_array(query):
            from regard.attention.kernels.fused import torch_ops

            call = torch_ops.numpy_call(call)
        else:
            call = _as_words(call)
        yield block.start, cpu.make_inputs(call.arrays, call.settings)


def _run_numpy(call: ForwardCall) -> Results:
    from regard.attention.kernels.fused import cpu

    results = cpu.attend(_as_words(call), words=2)
    return results._replace(output=results.output.view(np.float32))


def _received_torch(call: ForwardCall, lse: Array) -> Array:
    from regard.attention.kernels.fused import torch_ops

    return torch_ops.received(call, lse)


def _received_numpy(call: ForwardCall, lse: Array) -> Array:
    from regard.attention.kernels.fused import cpu

    return cpu.received(_as_words(call), lse, words=2)


def _as_words(call: ForwardCall) -> ForwardCall:
    """A call of NumPy arrays as the kernels take them."""
    arrays = call.arrays
    three = (
        x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
        for x in (arrays.query, arrays.key, arrays.value)
    )
    query, key, value = (x.view(np.uint16) for x in three)
    vector = None if arrays.vector is None else np.ascontiguousarray(arrays.vector)
    return call._replace(arrays=arrays._replace(query=query, key=key, value=value, vector=vector))


def is_on_gpu(problem: Problem) -> bool:
    """Whether the kernels for GPUs answer."""
    return compat.is_torch_array(problem.query) and problem.query.device.type == "cuda"


def _is_device_supported(problem: Problem, statistics: tuple[NamedStatistic, ...]) -> bool:
    """Whether the device has a kernel for the type: float32, and in torch bfloat16, on a processor."""
    query = problem.query
    if not compat.is_torch_array(query):
        return bool(compat.is_numpy_array(query) and query.dtype == np.float32)
    if query.device.type == "cuda" and find_spec("triton"):
        from regard.attention.kernels.cuda import launch

        return launch.fits(problem, statistics)
    return query.device.type == "cpu" and str(query.dtype) in ("torch.float32", "torch.bfloat16")


def _is_supported(which: NamedStatistic, problem: Problem) -> bool:
    """Whether the kernel computes this statistic for these numbers."""
    name, *numbers = which
    if name == "topk":
        return numbers[0] <= limits.FUSED_MAX_TOPK
    if name == "pool":
        keys = problem.layout.keys
        few = keys < limits.MAX_CHUNK_KEYS if is_on_gpu(problem) else has_whole_rows(keys)
        return few or block_size(keys, numbers[1]) >= limits.FUSED_MIN_KEY_BLOCK
    return name in ("entropy", "lse", "max_score", "received")


def _needs_gradient(bias: Array | None) -> bool:
    """Whether a gradient of the bias is needed, which the kernels do not compute.

    Only its tiles tell: what they are made from may be anywhere, as in a module or a closure.
    """
    return bool(getattr(bias, "requires_grad", False))


def _scale(problem: Problem) -> float | None:
    """The factor of dot products, capped or not; `None` where the score is something else."""
    return dot_factor(uncapped(problem.score)[0], problem.query.shape[-1])


def _vector(problem: Problem) -> Array | None:
    """`v` of additive scores, capped or not; `None` where the score is something else."""
    return additive_vector(uncapped(problem.score)[0])


def _settings(problem: Problem, dropout: float, seed: int, first_row: int) -> CallSettings:
    """The numbers of a call for the rows from `first_row` on."""
    scale, cap = _scale(problem), uncapped(problem.score)[1]
    return CallSettings(
        1.0 if scale is None else scale,
        0.0 if cap is None else cap,
        dropout,
        seed,
        first_row,
    )


def _kernel_parameters(problem: Problem) -> Parameters:
    """Vector and sink in the types and shapes of the kernels."""
    (vector, sink), xp = Parameters.of(problem), problem.layout.xp
    return Parameters(
        None if vector is None else xp.astype(vector, xp.float32, copy=False),
        None if sink is None else _kernel_sink(xp, sink),
    )


def _kernel_sink(xp: Any, sink: Array) -> Array:
    """A sink with four axes as the kernels take it: no larger than their largest score, as a bias is.

    Nor smaller than the least, unless it is -inf: a log-sum-exp must survive the rounding to float32.
    """
    from regard.attention.kernels.fused.tile import INFINITE_SCORE, LN2

    sink = xp.astype(sink[:, :, 0, 0], xp.float32, copy=False)
    most = float(INFINITE_SCORE) * LN2
    sink = xp.where(sink > most, most, sink)
    return xp.where((sink < -most) & (sink != -math.inf), -most, sink)


def _broadcast_inputs(problem: Problem) -> tuple[Array, Array, Array]:
    """Query, key and value with one batch; key and value with the same heads."""
    batch, xp = problem.layout.batch, problem.layout.xp
    key, value = broadcast_heads(problem.key, problem.value, problem.layout.heads)
    query, key, value = (
        xp.broadcast_to(x, (batch, *x.shape[1:])) for x in (problem.query, key, value)
    )
    return query, key, value


def _requested(statistics: tuple[NamedStatistic, ...], layout: AttentionLayout) -> Requested:
    """The statistics of one call: one list, long enough for every top-k, and one pooled map."""
    pool = next((numbers for name, *numbers in statistics if name == "pool"), None)
    tops = [min(numbers[0], layout.keys) for name, *numbers in statistics if name == "topk"]
    return Requested(
        entropy=("entropy",) in statistics,
        top=max(tops, default=0),
        query_block=block_size(layout.queries, pool[0]) if pool else 0,
        key_block=block_size(layout.keys, pool[1]) if pool else 0,
        received=("received",) in statistics,
        max_score=("max_score",) in statistics,
    )


def _row_blocks(problem: Problem, query: Array) -> Iterator[RowBlock]:
    """All rows at once where the mask gives each a range of keys, else as many as its tiles allow.

    Args:
        problem: its mask and bias decide.
        query: of the problem, with the whole batch.
    """
    layout, xp, ranges = problem.layout, problem.layout.xp, problem.key_ranges()
    by_tile = problem.mask is not None and ranges is None
    if ranges is None:
        none = xp.zeros((1, 1, 1), dtype=xp.int64, device=layout.device)
        ranges = (none, none + layout.keys)
    low, high = (
        xp.broadcast_to(xp.astype(end, xp.int64), (*end.shape[:2], layout.queries))
        for end in ranges
    )
    made = problem.bias is not None or by_tile
    row_bytes = 4 * layout.batch * layout.heads * layout.keys if made else 0
    for rows in split_rows(layout.queries, row_bytes, limits.FUSED_MASK_BYTES):
        bias = problem.bias_tile(rows, problem.every_key)
        if bias is not None:
            bias = xp.astype(bias, xp.float32)
        allowed = problem.mask_tile(rows, problem.every_key) if by_tile else None
        own, first, end = (x[:, :, rows] for x in (query, low, high))
        yield RowBlock(rows.start, rows.stop, own, first, end, allowed, bias)


def _joined_edges(
    row_blocks: list[tuple[int, int]], layout: AttentionLayout, requested: Requested
) -> BlockEdges:
    """Edges of the parts in the results of all row blocks, counted from the first row of the matrix."""
    query, key = [np.zeros(1, np.int64)], np.zeros(0, np.int64)
    for start, stop in row_blocks:
        part, key = block_edges(
            start, stop - start, layout.keys, requested.query_block, requested.key_block
        )
        query.append(start + part[1:])
    return BlockEdges(np.concatenate(query), key)


def _concat(xp: Any, parts: list[Results]) -> Results:
    """The results of all row blocks: concatenated along the queries, received mass added up."""
    *by_row, received = zip(*parts, strict=True)
    joined = [xp.concat(rows, axis=2) for rows in by_row]
    return Results(*joined, sum(received))  # type: ignore[call-arg]


def _statistic(
    which: NamedStatistic,
    results: Results,
    nan_rows: Array | None,
    layout: AttentionLayout,
    edges: BlockEdges | None,
) -> Any:
    """What the map computes for a statistic, from the results of the kernel.

    Only the entropy and the log-sum-exp keep their gradients.
    """
    name, *numbers = which
    if name == "topk":
        k = min(numbers[0], layout.keys)
        return stop_gradient(results.top_weights[..., :k]), results.top_indices[..., :k]
    if name == "entropy":
        return results.entropy
    if name == "lse":
        return results.lse
    if name == "max_score":
        return stop_gradient(results.max_score)
    if name == "received":
        return stop_gradient(_with_nan(which, results.received, nan_rows))
    assert edges is not None
    mean, most = _with_nan(which, join_parts(numbers, results, layout, edges), nan_rows)
    return stop_gradient(mean), stop_gradient(most)


def _nan_rows(lse: Array) -> Array | None:
    """Rows whose every weight is NaN; `None` where a look on the processor shows that there are none."""
    rows = compat.array_namespace(lse).isnan(lse)
    if is_concrete(lse) and str(compat.device(lse)) == "cpu" and not bool(rows.any()):
        return None
    return rows


def _with_nan(which: NamedStatistic, found: Any, nan_rows: Array | None) -> Any:
    return found if nan_rows is None else propagate_nan(which, found, nan_rows)
