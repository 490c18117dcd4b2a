"""Statistics that users define (`regard.statistics`), over the tiles of several processes."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from regard.attention.statistics import Partial, Statistic, Tile
from regard.attention.statistics.base import arrays_of
from regard.distributed.passes import tiles_of
from regard.distributed.problem import Block, ShardedProblem
from regard.distributed.ring import Tensors
from regard.errors import InputError

__all__ = ["statistic_pass"]


@torch.no_grad()
def statistic_pass(problem: ShardedProblem, lse: Tensor, statistic: Statistic) -> Partial:
    """The answer of a statistic: for the queries or keys of this process, or for each head.

    Args:
        problem: in every process.
        lse: `(batch, heads, local queries)` float64, of the rows of this process.
        statistic: what to take from a tile, how to merge, how to finish; see `regard.statistics`.

    Raises:
        InputError: no statistic.
        ShapeError: a statistic that does not fit the whole matrix.
    """
    if not isinstance(statistic, Statistic):
        raise InputError(
            f"statistic is {statistic!r}; expected an object of a subclass of regard.statistics.Statistic, "
            "such as regard.statistics.RenyiEntropy(2)"
        )
    statistic.check(problem.whole)
    by_kind = {"query": _per_query, "key": _per_key, "head": _per_head}
    return statistic.finish(by_kind[statistic.per](problem, lse, statistic))


def _per_query(problem: ShardedProblem, lse: Tensor, statistic: Statistic) -> Partial:
    """Merged over the keys of all processes, for each tile of rows of this one."""
    nothing = _nothing(problem, statistic, rows=problem.local.queries)
    merged = tuple(x.clone() for x in arrays_of(nothing))
    keys = (problem.key.detach(),)
    for owner, (key,) in problem.ring.visit(keys, problem.key_shards.lengths):
        for part in problem.tile_blocks(owner, key):
            for place, found in _partials(problem, part, lse, statistic):
                before = tuple(x[:, :, place] for x in merged)
                both = statistic.merge(_like(before, nothing), found)
                for x, new in zip(merged, arrays_of(both), strict=True):
                    x[:, :, place] = new
    return _like(merged, nothing)


def _per_key(problem: ShardedProblem, lse: Tensor, statistic: Statistic) -> Partial:
    """Merged over the queries of all processes; what is known of keys travels with them."""
    form = _nothing(problem, statistic, keys=1)

    def contribute(owner: int, tensors: Tensors) -> Tensors:
        (key,) = tensors
        nothing = _nothing(problem, statistic, keys=key.shape[2])
        merged = tuple(x.clone() for x in arrays_of(nothing))
        for part in problem.tile_blocks(owner, key):
            own = slice(part.first, part.first + len(part.keys))
            partial = _like(tuple(x[:, :, own] for x in merged), form)
            for _, found in _partials(problem, part, lse, statistic):
                partial = statistic.merge(partial, found)
            for x, new in zip(merged, arrays_of(partial), strict=True):
                x[:, :, own] = new
        return merged

    def merge(first: Tensors, second: Tensors) -> Tensors:
        return arrays_of(statistic.merge(_like(first, form), _like(second, form)))

    keys = (problem.key.detach(),)
    found = problem.ring.accumulate(keys, problem.key_shards.lengths, contribute, merge)
    return _like(found, form)


def _per_head(problem: ShardedProblem, lse: Tensor, statistic: Statistic) -> Partial:
    """Merged over all tiles of all processes, in the order of the processes, so that all get the same bits."""
    ring, merged = problem.ring, _nothing(problem, statistic)
    keys = (problem.key.detach(),)
    for owner, (key,) in ring.visit(keys, problem.key_shards.lengths):
        for part in problem.tile_blocks(owner, key):
            for _, found in _partials(problem, part, lse, statistic):
                merged = statistic.merge(merged, found)
    gathered = [ring.gather(x, [tuple(x.shape)] * ring.size, None) for x in arrays_of(merged)]
    return reduce(statistic.merge, [_like(parts, merged) for parts in zip(*gathered, strict=True)])


def _partials(problem: ShardedProblem, part: Block, lse: Tensor, statistic: Statistic) -> Any:
    """For each tile of a block: its rows among those of this process, and what the statistic takes from it."""
    for tile in tiles_of(problem, part, lse):
        given = Tile(problem.whole, tile.rows, tile.keys, tile.weights, tile.scores)
        yield tile.local_rows, statistic.of_tile(given)


def _nothing(
    problem: ShardedProblem, statistic: Statistic, *, rows: int = 1, keys: int = 1
) -> Partial:
    """The partial result of masked pairs, which by the second law of a statistic adds nothing.

    Which queries and keys they are does not matter, as nothing is taken from what is masked.
    """
    whole = problem.whole
    weights = torch.zeros(
        (whole.batch, whole.heads, rows, keys), dtype=whole.dtype, device=whole.device
    )
    scores = torch.full_like(weights, -math.inf)
    return statistic.of_tile(Tile(whole, slice(0, rows), slice(0, keys), weights, scores))


def _like(arrays: Tensors, form: Partial) -> Partial:
    """Arrays as a partial result of the form of another: a tuple, or one array."""
    return tuple(arrays) if isinstance(form, tuple) else arrays[0]
