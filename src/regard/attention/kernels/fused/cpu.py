"""The kernels as functions of NumPy arrays: memory, plans and threads around the compiled code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regard.attention import random
from regard.attention.kernels import limits
from regard.attention.kernels.fused import backward as compiled_backward
from regard.attention.kernels.fused import forward as compiled
from regard.attention.kernels.fused import workspace as tiles
from regard.attention.kernels.fused.workspace import (
    Answers,
    Inputs,
    Plan,
    Slopes,
    Split,
    make_desk,
    workspace,
)
from regard.compiled.blas import find_gemm
from regard.compiled.threads import run_parallel, thread_count

__all__ = ["Arrays", "Asked", "Results", "Settings", "attend", "backward"]

Words = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]


class Arrays(NamedTuple):
    """What attention is asked of. The first three are float32 or bfloat16, seen as 16-bit words."""

    query: Words
    """(batch, heads, queries, words)."""
    key: Words
    """(batch, key_heads, keys, words)."""
    value: Words
    """(batch, key_heads, keys, words)."""
    low: npt.NDArray[np.int64]
    """(batch or 1, heads or 1, queries): the first key of each query."""
    high: npt.NDArray[np.int64]
    """The one after its last."""
    direction: Singles | None = None
    """(features,): the `v` of additive attention."""
    allowed: npt.NDArray[np.bool_] | None = None
    """(batch or 1, heads or 1, queries or 1, keys or 1)."""
    bias: Singles | None = None
    """The same."""


class Settings(NamedTuple):
    """The numbers of a call."""

    scale: float
    dropout: float = 0.0
    seed: int = 0
    first_row: int = 0
    """Where in the whole matrix the first query stands; dropout and pooling need it."""


class Asked(NamedTuple):
    """Which statistics."""

    entropy: bool = False
    top: int = 0
    query_block: int = 0
    """Queries of a pooled block, counted over the whole matrix; 0 for no pooling."""
    key_block: int = 0
    received: bool = False


class Results(NamedTuple):
    """What came out; statistics that were not asked for are empty."""

    output: Words
    lse: npt.NDArray[np.float64]
    entropy: Singles
    top_weights: Singles
    top_places: npt.NDArray[np.int64]
    block_sum: Singles
    """(batch, heads, parts of query blocks, chunks of key blocks); see `tiles.cut`."""
    block_max: Singles
    received: Singles


def attend(arrays: Arrays, settings: Settings, asked: Asked, *, wide: bool) -> Results:
    """Output, log-sum-exp and the statistics asked for.

    Args:
        arrays: of float32, or of bfloat16 if not `wide`.
        settings: numbers.
        asked: which statistics.
        wide: whether a number takes two words.
    """
    batch, heads, queries, _ = arrays.query.shape
    keys = arrays.key.shape[2]
    inputs = make_inputs(arrays, settings)
    plan = tiles.make_plan(
        settings.first_row, queries, keys, query_block=asked.query_block,
        key_block=asked.key_block, narrow=bool((arrays.high - arrays.low < keys).any()),
    )  # fmt: skip
    results = _make_results(arrays, asked, plan)
    answers = Answers(*results[:-1])
    gemm_ = find_gemm()
    words = 2 if wide else 1
    features, values = arrays.query.shape[3] // words, arrays.value.shape[3] // words
    work = float(batch * heads * queries) * keys * (features + values)

    def memory(top: int = asked.top) -> Any:
        return workspace(plan, inputs, features, values, top)

    tasks = batch * heads * (plan.row_tiles.size - 1)
    run_parallel(compiled.forward, memory, (inputs, plan, answers), gemm_, tasks=tasks, work=work)
    if asked.received:
        tasks = batch * heads * -(-keys // plan.columns)
        last = (inputs, plan, results.lse, results.received)
        run_parallel(compiled.received, memory, last, gemm_, tasks=tasks, work=work)
    return results


def backward(
    arrays: Arrays,
    settings: Settings,
    arrived: Words,
    lse: npt.NDArray[np.float64],
    constant: Singles,
    slope: Singles,
    *,
    wide: bool,
) -> tuple[Singles, Singles, Singles, Singles]:
    """The gradients of query, key, value and direction.

    Args:
        arrays: as in the forward pass.
        settings: likewise.
        arrived: the gradient of the output, (batch, heads, queries, words).
        lse: from the forward pass.
        constant: for each row what is added to the gradient of its weights; see `backward.py`.
        slope: for each row what multiplies their logarithms.
        wide: whether a number takes two words.
    """
    batch, heads, queries, words = arrays.query.shape
    key_heads, keys = arrays.key.shape[1:3]
    features, values = (n // (2 if wide else 1) for n in (words, arrays.value.shape[3]))
    parts = _parts(batch * key_heads, keys)
    split = Split(min(limits.MASKED_TILE_QUERIES, queries), min(limits.TILE_KEYS, keys), parts)
    tasks = batch * key_heads * (len(parts) - 1)
    slopes = Slopes(
        arrived, lse, constant, slope,
        query=np.zeros(((len(parts) - 1) * batch * heads * queries, features), np.float32),
        key=np.empty((batch * key_heads * keys, features), np.float32),
        value=np.empty((batch * key_heads * keys, values), np.float32),
        direction=np.zeros((tasks, features if arrays.direction is not None else 0)),
    )  # fmt: skip
    run_parallel(
        compiled_backward.backward, lambda: make_desk(split, features, values),
        (make_inputs(arrays, settings), split, slopes), find_gemm(), tasks=tasks,
        work=float(batch * heads * queries) * keys * (3 * features + 2 * values),
    )  # fmt: skip
    by_query = slopes.query.reshape(len(parts) - 1, batch, heads, queries, features)
    return (
        by_query[0] if len(by_query) == 1 else by_query.sum(0),
        slopes.key.reshape(batch, key_heads, keys, features),
        slopes.value.reshape(batch, key_heads, keys, values),
        slopes.direction.sum(0).astype(np.float32),
    )


def _parts(pairs: int, keys: int) -> npt.NDArray[np.int64]:
    """Ranges of keys that make tasks of about equal size: one where heads keep all threads busy."""
    threads = thread_count()
    count = next(
        n for n in range(1, threads + 1) if pairs * n % threads == 0 or pairs * n > 4 * threads
    )
    return np.linspace(0, keys, min(count, keys) + 1).astype(np.int64)


def make_inputs(arrays: Arrays, settings: Settings) -> Inputs:
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
        *arrays[:3],
        scale=float(settings.scale),
        direction=np.empty(0, np.float32) if arrays.direction is None else arrays.direction,
        low=arrays.low,
        high=arrays.high,
        allowed=nothing.astype(np.bool_) if arrays.allowed is None else arrays.allowed,
        bias=nothing if arrays.bias is None else arrays.bias,
        drop_below=np.uint32(random.drop_threshold(settings.dropout)),
        survivor=1 / (1 - settings.dropout),
        row_keys=np.ascontiguousarray(row_keys),
        column_keys=np.ascontiguousarray(column_keys),
    )


def _make_results(arrays: Arrays, asked: Asked, plan: Plan) -> Results:
    batch, heads, queries, _ = arrays.query.shape
    keys = arrays.key.shape[2]
    by_head, single = (batch, heads), np.float32
    blocks = (plan.query_edges.size - 1, plan.key_edges.size - 1) if asked.key_block else (0, 0)
    return Results(
        output=np.empty((*by_head, queries, arrays.value.shape[3]), np.uint16),
        lse=np.empty((*by_head, queries)),
        entropy=np.empty((*by_head, queries if asked.entropy else 0), single),
        top_weights=np.empty((*by_head, queries, asked.top), single),
        top_places=np.empty((*by_head, queries, asked.top), np.int64),
        block_sum=np.zeros((*by_head, *blocks), single),
        block_max=np.zeros((*by_head, *blocks), single),
        received=np.empty((*by_head, keys if asked.received else 0), single),
    )
