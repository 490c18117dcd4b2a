"""Passes around the ring: every process meets the keys of every other once.

A pass over rows yields what each query's row is: output, log-sum-exp, entropy, largest weights. A pass over
weights needs the log-sum-exp, and takes from tiles what is summed over queries (received mass, pooled
blocks) or defined by the user. The backward pass adds up the gradients of keys and values, which travel
with them and come home to their process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from regard.distributed import block
from regard.distributed.pooled import PooledBlocks
from regard.distributed.problem import Block, ShardedProblem
from regard.distributed.ring import Tensors
from regard.distributed.rows import RowTotals

__all__ = ["PlacedTile", "Sums", "add_up", "backward_pass", "rows_pass", "sums_pass", "tiles_of"]


class Sums(NamedTuple):
    """Sums over all queries.

    Attributes:
        received: `(batch, heads, local keys)`, for the keys of this process.
        mean: `(batch, heads, query_blocks, key_blocks)`, of the whole matrix, in every process.
        max: of that shape.
    """

    received: Tensor
    mean: Tensor
    max: Tensor


class PlacedTile(NamedTuple):
    """A tile of the matrix and its place.

    Attributes:
        local_rows: among the queries of this process.
        rows: positions in the whole sequence.
        keys: positions in the whole sequence.
        weights: `(batch, heads, rows, keys)`.
        scores: of that shape, -inf where masked.
    """

    local_rows: slice
    rows: slice
    keys: slice
    weights: Tensor
    scores: Tensor


@torch.no_grad()
def rows_pass(problem: ShardedProblem, *, top: int, output: bool = True) -> RowTotals:
    """Results of the rows of this process.

    Args:
        problem: in every process.
        top: length of the lists of largest weights.
        output: whether the output is wanted; values then travel with the keys.
    """
    value = problem.value if output else problem.value[..., :0]
    shape = (problem.local.batch, problem.local.heads, problem.local.queries)
    like = problem.query.new_empty(0, dtype=problem.local.dtype)
    totals = RowTotals(shape, value.shape[3], min(top, problem.whole.keys), like)
    tensors = (problem.key.detach(), value.detach())
    for owner, (key, values) in problem.ring.visit(tensors, problem.key_shards.lengths):
        for part in problem.blocks(owner, key, values):
            totals.add(block.rows_of_block(part.problem, part.keys.start, top))
    if problem.sink is not None:
        totals.add_sink(problem.sink.detach())
    return totals


@torch.no_grad()
def sums_pass(problem: ShardedProblem, lse: Tensor, query_blocks: int, key_blocks: int) -> Sums:
    """Received mass and pooled blocks.

    Args:
        problem: in every process.
        lse: `(batch, heads, local queries)` float64, of the rows of this process.
        query_blocks: blocks along the queries, at most.
        key_blocks: blocks along the keys, at most.
    """
    local, whole, ring = problem.local, problem.whole, problem.ring
    pooled = PooledBlocks(
        (local.batch, local.heads),
        (whole.queries, whole.keys),
        (query_blocks, key_blocks),
        lse.device,
    )
    # A row whose weights are NaN makes every sum over rows NaN, also at keys that it may not see.
    nan = lse.isnan()
    pooled.add_nan(problem.shards.positions(ring.rank), nan)
    nothing = torch.where(nan.any(-1), torch.nan, 0.0).double()[..., None]

    def contribute(owner: int, tensors: Tensors) -> Tensors:
        (key,) = tensors
        sums = nothing.repeat(1, 1, key.shape[2])
        for part in problem.tile_blocks(owner, key):
            columns = sums[:, :, part.first : part.first + len(part.keys)]
            for tile in tiles_of(problem, part, lse):
                columns += tile.weights.sum(2, dtype=torch.float64)
                pooled.add(tile.weights, tile.rows.start, tile.keys.start)
        return (sums,)

    keys = (problem.key.detach(),)
    (received,) = ring.accumulate(keys, problem.key_shards.lengths, contribute, add_up)
    mean, most = pooled.finish(
        lambda x: ring.all_reduce(x, dist.ReduceOp.SUM),
        lambda x: ring.all_reduce(x, dist.ReduceOp.MAX),
    )
    return Sums(*(x.to(local.dtype) for x in (received, mean, most)))


@torch.no_grad()
def backward_pass(
    problem: ShardedProblem, rows: block.RowGradients
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the query, key and value of this process."""
    dtype = problem.local.dtype
    of_query = torch.zeros_like(problem.query, dtype=dtype)

    def contribute(owner: int, tensors: Tensors) -> Tensors:
        key, value = tensors
        of_key, of_value = (torch.zeros_like(x, dtype=dtype) for x in tensors)
        for part in problem.blocks(owner, key, value):
            found = block.gradients(part.problem, rows)
            of_query.add_(found[0])
            own = slice(part.first, part.first + len(part.keys))
            of_key[:, :, own] += found[1]
            of_value[:, :, own] += found[2]
        return of_key, of_value

    tensors = (problem.key.detach(), problem.value.detach())
    of_key, of_value = problem.ring.accumulate(
        tensors, problem.key_shards.lengths, contribute, add_up
    )
    return of_query, of_key, of_value


def add_up(first: Tensors, second: Tensors) -> Tensors:
    """The sums of two contributions, in place of the first."""
    return tuple(one.add_(other) for one, other in zip(first, second, strict=True))


def tiles_of(problem: ShardedProblem, part: Block, lse: Tensor) -> Iterator[PlacedTile]:
    """The tiles of a block; each is of rows that lie together in the sequence."""
    keys, start = slice(part.keys.start, part.keys.stop), 0
    for piece in problem.queries:
        rows, shift = slice(start, start + len(piece)), piece.start - start
        for tile_rows in block.row_tiles(part.problem, rows):
            if problem.is_seen(part.keys, tile_rows):
                place = slice(tile_rows.start + shift, tile_rows.stop + shift)
                made = block.weights_and_scores(part.problem, lse, tile_rows)
                yield PlacedTile(tile_rows, place, keys, *made)
        start += len(piece)
