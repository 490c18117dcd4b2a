"""The arguments of `distributed.attend`, checked in every process, and the blocks that they are cut into."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from regard.attention.arrays import is_torch
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask, as_mask, key_ranges
from regard.attention.normalizers import Normalizer, Softmax, align_sink, softmax_of
from regard.attention.overrides import runs
from regard.attention.positions import Bias, as_bias
from regard.attention.problem import Problem, make_problem, split_nonfinite
from regard.attention.scores import Location, Score, uncapped
from regard.distributed.block import INFINITE_SCORE
from regard.distributed.ring import Ring, check_processes
from regard.distributed.shards import Shards
from regard.distributed.within import BiasWithin, MaskWithin, Placement, RangesWithin
from regard.errors import InputError, ProcessGroupError

__all__ = ["Block", "ShardedProblem", "make_sharded_problem"]

BLOCK_KEYS = 2**14
"""Keys of a block, at most. Where no kernel fits, a tile of a block is then a hundred rows high, enough for
the speed of a matrix product; and joining the results of two blocks takes next to nothing beside a block."""

TILE_KEYS = 2**11
"""Keys of a block whose weights are made: with a thousand rows a tile of a few megabytes, and little of it
above the diagonal of a causal mask."""

FACTS = ("batch", "heads", "features", "key batch", "key heads", "key features", "values", "axes")
"""What the arrays of all processes must agree about, beside their types and arguments."""


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the matrix: all queries of this process, and a range of keys.

    Attributes:
        problem: the block as a matrix of its own.
        first: of its keys among those of their process.
        keys: their positions in the whole sequence.
    """

    problem: Problem
    first: int
    keys: range


@dataclass(frozen=True, eq=False)
class ShardedProblem:
    """What one process knows of a matrix whose queries and keys are sharded.

    Attributes:
        ring: the processes.
        shards: where the queries are.
        key_shards: where the keys and values are.
        whole: layout of the whole matrix.
        local: layout of the queries and keys of this process.
        query: projected, `(batch, heads, local queries, dim)`.
        key: projected, `(batch or 1, key_heads, local keys, dim)`.
        value: `(batch or 1, key_heads, local keys, values)`.
        score: computes scores from query and key.
        sink: of the softmax, `(batch or 1, heads or 1, 1)` float64; `None` for none.
        mask: of the whole matrix; `None` for none.
        bias: of the whole matrix; `None` for none.
        ranges: first key and end for each query of this process, if the mask gives ranges.
    """

    ring: Ring
    shards: Shards
    key_shards: Shards
    whole: AttentionLayout
    local: AttentionLayout
    query: Tensor
    key: Tensor
    value: Tensor
    score: Score
    sink: Tensor | None
    mask: Mask | None
    bias: Bias | None
    ranges: tuple[Tensor, Tensor] | None

    @property
    def queries(self) -> tuple[range, ...]:
        """Positions of the queries of this process."""
        return self.shards.ranges[self.ring.rank]

    def blocks(
        self, owner: int, key: Tensor, value: Tensor, *, most: int = BLOCK_KEYS
    ) -> Iterator[Block]:
        """The blocks of the keys of one process, without those that no query of this one may see.

        Args:
            owner: rank of the process.
            key: of that process.
            value: of that process.
            most: keys of a block.
        """
        first = 0
        for piece in self.key_shards.ranges[owner]:
            for start in range(piece.start, piece.stop, most):
                keys = range(start, min(piece.stop, start + most))
                if self.is_seen(keys, slice(0, self.local.queries)):
                    own = slice(first, first + len(keys))
                    yield Block(
                        self._problem(key[:, :, own], value[:, :, own], keys.start), first, keys
                    )
                first += len(keys)

    def tile_blocks(self, owner: int, key: Tensor) -> Iterator[Block]:
        """The blocks of the keys of one process, without values, for what is taken from weights."""
        return self.blocks(owner, key, key[..., :0], most=TILE_KEYS)

    def is_seen(self, keys: range, rows: slice) -> bool:
        """Whether some of these queries of this process may see any of these keys, as far as ranges tell."""
        if rows.start == rows.stop:
            return False
        if self.ranges is None:
            return True
        low, high = (x if x.shape[2] == 1 else x[:, :, rows] for x in self.ranges)
        return bool(((low < keys.stop) & (high > keys.start) & (low < high)).any())

    def _problem(self, key: Tensor, value: Tensor, start: int) -> Problem:
        placement = Placement(self.whole, self.queries, start)
        mask: Mask | None = None
        if self.ranges is not None:
            mask = RangesWithin(*self.ranges, start)
        elif self.mask is not None:
            mask = MaskWithin(self.mask, placement)
        bias = None if self.bias is None else BiasWithin(self.bias, placement)
        query, nonfinite = self.query, None
        if mask is not None or bias is not None:
            query, key, value, nonfinite = split_nonfinite(query, key, value)
        # Kernels return what they make in the type of the values, and what is still to be added up should not
        # be rounded to bfloat16. On a GPU, which multiplies bfloat16 for half the cost, it is.
        if query.device.type == "cpu":
            query, key, value = (x.to(self.local.dtype) for x in (query, key, value))
        layout = replace(self.local, keys=key.shape[2])
        return Problem(layout, query, key, value, self.score, Softmax(), mask, bias, nonfinite)


def make_sharded_problem(
    ring: Ring,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    shards: Shards | None,
    key_shards: Shards | None,
    score: Score,
    normalizer: Normalizer,
    mask: Any,
    bias: Any,
) -> ShardedProblem:
    """Check the arguments of `distributed.attend` in all processes, and project query and key once.

    Raises:
        InputError: an argument of this process that does not fit.
        ProcessGroupError: another process refused its arguments, or holds others.
    """
    made: list[tuple[Problem, Tensor | None]] = []

    def described() -> list[int]:
        problem = _local_problem(query, key, value, score)
        for name, given, length in (
            ("shards", shards, problem.layout.queries),
            ("key_shards", key_shards or shards, problem.layout.keys),
        ):
            if given is not None:
                check_processes(given, ring)
                if given.lengths[ring.rank] != length:
                    raise InputError(
                        f"process {ring.rank} holds {length} positions; its {name} say "
                        f"{given.lengths[ring.rank]}"
                    )
        sink = _sink_of(normalizer, problem)
        made.append((problem, sink))
        arguments = (
            problem.query.dtype, problem.value.dtype, type(score), _numbers(score), shards, key_shards,
            type(mask), type(bias), None if sink is None else sink.tolist(),
            torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value)),
        )  # fmt: skip
        lengths = (problem.layout.queries, problem.layout.keys)
        return [*lengths, zlib.crc32(repr(arguments).encode()), *_facts(problem)]

    found = ring.agree(described, 3 + len(FACTS))
    _check_equal(found, ring)
    problem, sink = made[0]
    shards = shards or Shards.contiguous([numbers[0] for numbers in found])
    key_shards = key_shards or (
        shards
        if shards.lengths == tuple(numbers[1] for numbers in found)
        else Shards.contiguous([numbers[1] for numbers in found])
    )
    whole = replace(problem.layout, queries=shards.length, keys=key_shards.length)
    mask = None if mask is None else as_mask(mask)
    bias = None if bias is None else as_bias(bias)
    for part in (mask, bias):
        if part is not None:
            part.check(whole)
    return ShardedProblem(
        ring, shards, key_shards, whole, problem.layout, problem.query, problem.key, problem.value, score,
        sink, mask, bias, _own_ranges(mask, whole, shards, ring.rank),
    )  # fmt: skip


def _local_problem(query: Any, key: Any, value: Any, score: Score) -> Problem:
    """Query, key and value of this process, checked and projected."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not is_torch(x):
            raise InputError(f"{name} is a {type(x).__name__}; expected a torch tensor")
    if runs(uncapped(score)[0], "project", Location.project):
        raise InputError(
            "a location score has one row of its weight for each key of the whole sequence; shard the rows as "
            "the keys, and pass them as key with score=Dot()"
        )
    return make_problem(query, key, value, score=score, normalizer=Softmax(), mask=None, bias=None)


def _sink_of(normalizer: Normalizer, problem: Problem) -> Tensor | None:
    """The sink of a softmax, `(batch or 1, heads or 1, 1)` float64, as the kernels bound it.

    Raises:
        InputError: another normaliser.
        ShapeError: a sink that does not fit the heads.
    """
    softmax, layout = softmax_of(normalizer), problem.layout
    if softmax is None:
        raise InputError(
            f"normalizer is {type(normalizer).__name__}, which needs whole rows of scores, and here a row lies "
            "in several processes; use Softmax(), with or without a sink, or regard.attend in one process"
        )
    if softmax.sink is None:
        return None
    sink: Tensor = align_sink(
        softmax.sink, problem.query, (layout.batch, layout.heads), torch.float64
    )
    sink = sink.reshape((1,) * (4 - sink.ndim) + tuple(sink.shape))
    return sink[..., 0].clamp(max=INFINITE_SCORE)


def _numbers(score: Score) -> list[tuple[str, Any]]:
    """The parameters of a score that are no arrays, such as the scale of dot products, or a score within it."""
    return [
        (name, (type(value).__name__, _numbers(value)) if isinstance(value, Score) else value)
        for name, value in vars(score).items()
        if value is None or isinstance(value, int | float | Score)
    ]


def _facts(problem: Problem) -> list[int]:
    """The numbers that `FACTS` names."""
    (batch, heads, _, features), key = problem.query.shape, problem.key.shape
    values = problem.value.shape[3]
    return [batch, heads, features, key[0], key[1], key[3], values, problem.layout.rank]


def _check_equal(found: list[list[int]], ring: Ring) -> None:
    own = found[ring.rank]
    for rank, other in enumerate(found):
        for name, ours, theirs in zip(FACTS, own[3:], other[3:], strict=True):
            if ours != theirs:
                raise ProcessGroupError(
                    f"process {ring.rank} has {name} of {ours}, process {rank} of {theirs}; all processes "
                    "attend with arrays that differ in length only"
                )
        if own[2] != other[2]:
            raise ProcessGroupError(
                f"processes {ring.rank} and {rank} differ in the type of their arrays, the score, the sink, "
                "the shards, the kind of mask or bias, or whether gradients are wanted; all must attend alike"
            )


def _own_ranges(
    mask: Mask | None, whole: AttentionLayout, shards: Shards, rank: int
) -> tuple[Tensor, Tensor] | None:
    """The ranges of keys of the queries of this process, where the mask gives ranges."""
    ranges = None if mask is None else key_ranges(mask, whole)
    if ranges is None:
        return None
    positions = shards.positions(rank).to(whole.device)
    low, high = (x if x.shape[2] == 1 else x[:, :, positions] for x in ranges)
    return low, high
