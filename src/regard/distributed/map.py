"""`ShardedAttentionMap`: exact answers about an attention matrix that lies in several processes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from regard.attention.answers import Answers
from regard.attention.arrays import copied
from regard.attention.kernels.statistics import limit_entropy
from regard.attention.map import Pool, TopK
from regard.attention.statistics import Statistic
from regard.attention.statistics.base import arrays_of
from regard.distributed.own_statistics import statistic_pass
from regard.distributed.passes import Sums, rows_pass, sums_pass
from regard.distributed.problem import ShardedProblem
from regard.distributed.ring import gather
from regard.distributed.shards import Shards
from regard.errors import InputError
from regard.shapes import Float

__all__ = ["Rows", "ShardedAttentionMap"]


class Rows(NamedTuple):
    """What the first pass has found of the queries of this process.

    Attributes:
        lse: `(batch, heads, queries)` float64.
        entropy: `(batch, heads, queries)`.
        max_score: `(batch, heads, queries)`.
        top: largest weights and their keys, `(batch, heads, queries, k)`, if they were watched.
    """

    lse: Tensor
    entropy: Tensor
    max_score: Tensor
    top: tuple[Tensor, Tensor] | None


class ShardedAttentionMap:
    """The attention matrix, `(..., queries, keys)`, of a sequence that lies in several processes.

    Answers about rows are for the queries of this process, answers about columns for its keys, and
    pooled blocks for the whole matrix; `gather` brings shards together. A question that is not answered yet
    sends the keys round the ring again, so every process of the group must ask it, and all must ask in one
    order. Get a map from `distributed.attend`.

    Attributes:
        shards: where the queries are.
        key_shards: where the keys are.
        rank: index of this process in the group.
    """

    def __init__(
        self,
        problem: ShardedProblem,
        rows: Rows,
    ) -> None:
        self._problem, self._rows, self._top = problem, rows, rows.top
        self._sums: dict[tuple[int, int], Sums] = {}
        self._own = Answers()
        self._versions = [(name, x, x._version) for name, x in _inputs(problem)]
        self.shards: Shards = problem.shards
        self.key_shards: Shards = problem.key_shards
        self.rank: int = problem.ring.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """`(..., queries, keys)` of the whole matrix."""
        return self._problem.whole.shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the statistics: float32 or float64."""
        dtype: torch.dtype = self._problem.whole.dtype
        return dtype

    def __repr__(self) -> str:
        return (
            f"ShardedAttentionMap(shape={self.shape}, dtype={self.dtype}, "
            f"process {self.rank} of {self.shards.processes})"
        )

    def entropy(self) -> Float[Tensor, "*lead queries"]:
        """Entropy of the weights of each query of this process, in nats; 0 for a masked row."""
        entropy = self._rows.entropy
        if self._problem.sink is None:  # else rows do not sum to 1
            entropy = limit_entropy(entropy, self._problem.whole.keys)
        return self._restore(entropy)

    def lse(self) -> Float[Tensor, "*lead queries"]:
        """Log-sum-exp of the scores of each query of this process; -inf for a masked row."""
        return self._restore(self._rows.lse.to(self.dtype))

    def max_score(self) -> Float[Tensor, "*lead queries"]:
        """The largest score of each query of this process, with bias; -inf for a masked row."""
        return self._restore(copied(self._rows.max_score))

    def topk(self, k: int = 8) -> TopK:
        """The `k` keys that each query of this process attends to most, by their place in the whole sequence.

        Raises:
            InputError: `k` below 1; a tensor that was changed since.
            ProcessGroupError: a process has ended, or does not ask.
        """
        if k < 1:
            raise InputError(f"topk got {k}; expected at least 1 key")
        k = min(k, self._problem.whole.keys)
        if self._top is None or self._top[0].shape[-1] < k:
            self._check_unchanged()
            self._top = rows_pass(self._problem, top=k, output=False).topk()
        weights, keys = (copied(x[..., :k]) for x in self._top)
        return TopK(self._restore(weights), self._restore(keys))

    def received(self) -> Float[Tensor, "*lead keys"]:
        """How much attention each key of this process received from all queries.

        Raises:
            InputError: a tensor that was changed since.
            ProcessGroupError: a process has ended, or does not ask.
        """
        sums = next(iter(self._sums.values()), None) or self._sums_of(64, 64)
        return self._restore(copied(sums.received))

    def pool(self, query_blocks: int = 64, key_blocks: int = 64) -> Pool:
        """Mean and maximum of the weights in each block of the whole matrix, in every process.

        Raises:
            InputError: fewer than 1 block; a tensor that was changed since.
            ProcessGroupError: a process has ended, or does not ask.
        """
        for blocks in (query_blocks, key_blocks):
            if blocks < 1:
                raise InputError(f"pool got {blocks} blocks; expected at least 1")
        sums = self._sums_of(query_blocks, key_blocks)
        return Pool(self._restore(copied(sums.mean)), self._restore(copied(sums.max)))

    def statistic(self, statistic: Statistic) -> Any:
        """A statistic of your own, or one of `regard.statistics`.

        Args:
            statistic: what to take from a tile, how to merge, how to finish; equal in every process. Its
                arrays, such as values or marks of keys, are of the whole sequence.

        Returns:
            What its `finish` returns: for the queries or keys of this process, or (`per = "head"`) of the whole
            matrix.

        Raises:
            InputError: no statistic; a tensor that was changed since.
            ShapeError: a statistic that does not fit the whole matrix.
            ProcessGroupError: a process has ended, or does not ask.
        """
        answer = self._own.kept(statistic)
        if answer is None:
            self._check_unchanged()
            answer = statistic_pass(self._problem, self._rows.lse.detach(), statistic)
            self._own.keep(statistic, answer)
            answer = self._own.kept(statistic)
        arrays = tuple(map(self._restore, arrays_of(answer)))
        return arrays if isinstance(answer, tuple) else arrays[0]

    def gather(
        self,
        answer: Float[Tensor, "..."],
        *,
        of: str = "queries",
        axis: int = -1,
        to: int | None = None,
    ) -> Tensor | None:
        """The whole of an answer that lies in shards.

        Args:
            answer: of a method of this map, such as `map.entropy()`, or the output.
            of: `"queries"` or `"keys"`: what the positions are.
            axis: of the positions: -1 for an entropy or received mass, -2 for an output or a top-k list.
            to: rank of the process that gets it; every process unless given.

        Returns:
            The whole answer, without gradients; `None` on the other processes.

        Raises:
            InputError: another kind of positions.
            ProcessGroupError: a process has ended, or does not ask.
        """
        if of not in ("queries", "keys"):
            raise InputError(f"gather got of={of!r}; expected 'queries' or 'keys'")
        shards = self.shards if of == "queries" else self.key_shards
        ring = self._problem.ring
        timeout = None if ring.timeout is None else ring.timeout.total_seconds()
        return gather(answer, shards, axis=axis, to=to, group=ring.group, timeout=timeout)

    def _sums_of(self, query_blocks: int, key_blocks: int) -> Sums:
        if (query_blocks, key_blocks) not in self._sums:
            self._check_unchanged()
            self._sums[query_blocks, key_blocks] = sums_pass(
                self._problem, self._rows.lse.detach(), query_blocks, key_blocks
            )
        return self._sums[query_blocks, key_blocks]

    def _check_unchanged(self) -> None:
        for name, tensor, version in self._versions:
            if tensor._version != version:
                raise InputError(
                    f"the {name} that this attention map is made from was changed in place since, so that the "
                    "map can no longer answer; ask it before, or have statistics computed with the output "
                    "(watch=...)"
                )

    def _restore(self, answer: Tensor) -> Tensor:
        restored: Tensor = self._problem.local.restore(answer)
        return restored


def _inputs(problem: ShardedProblem) -> list[tuple[str, Any]]:
    tensors = [("query", problem.query), ("key", problem.key)]
    return [(name, x) for name, x in tensors if not x.is_inference()]
