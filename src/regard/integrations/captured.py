"""Statistics captured from the attention of a watched model, call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, InstanceOf

from regard.attention import AttentionMap
from regard.attention.answers import WATCHABLE
from regard.attention.map import Pool, TopK
from regard.attention.statistics import Statistic
from regard.errors import RegardError
from regard.settings import Settings

__all__ = ["MAPS", "AttentionCall", "Floats", "Keep", "capture", "joined", "pad_last_axis"]

Floats = NDArray[np.float32]


_Count = Annotated[int, Field(ge=0)]
_Chosen = Annotated[tuple[_Count, ...], Field(min_length=1)]


class Keep(Settings):
    """Statistics to keep of each layer and head.

    Attributes:
        pool: blocks along each axis of the pooled map (mean and maximum); 0 keeps none.
        topk: number of largest weights to keep of each query; 0 keeps none.
        entropy: whether to keep the entropy of each query.
        received: whether to keep the attention that each key receives.
        lse: whether to keep the log-sum-exp of each query's scores.
        max_score: whether to keep the largest score of each query.
        statistics: statistics of `regard.statistics` or of one's own to keep.
        dense_limit: maps of at most `dense_limit ** 2` weights are also kept in full; 0 keeps none.
        rows: queries whose weights are kept at any length; negative ones count from the end.
        rollout: queries whose attention rollout through all self-attention layers is kept.
        maps: whether to keep an `AttentionMap` of every layer for later questions. It holds the
            queries and keys of the layer, as much memory as a key-value cache.
        layers: layers of each site that are captured, from 0; `None` captures all. The others run
            without a further computation.
        heads: heads that are captured, from 0; `None` captures all.
        dtype: float type of the arrays that are kept; `"float16"` halves their memory.

    Raises:
        SettingsError: an unknown name, or a value that is not allowed.
    """

    title: ClassVar[str] = "keep"

    pool: _Count = 64
    topk: _Count = 8
    entropy: bool = True
    received: bool = True
    lse: bool = False
    max_score: bool = False
    statistics: tuple[InstanceOf[Statistic], ...] = ()
    dense_limit: _Count = 512
    rows: tuple[int, ...] = ()
    rollout: tuple[int, ...] = ()
    maps: bool = False
    layers: _Chosen | None = None
    heads: _Chosen | None = None
    dtype: Literal["float32", "float16"] = "float32"

    def is_whole(self, size: int) -> bool:
        """Return whether a map of this many weights is kept in full."""
        return size <= self.dense_limit**2

    def statistics_of(self, size: int) -> tuple[str, ...]:
        """Statistics that `attend` computes with the output of so many weights, as its `watch` argument."""
        wanted = {
            "entropy": True,  # shows NaN weights, so it is computed even if it is not kept
            "lse": self.lse,
            "max_score": self.max_score,
            "pool": WATCHABLE["pool"] == ("pool", self.pool, self.pool),
            "received": self.received and not self.is_whole(size),  # else summed over the whole
            "topk": WATCHABLE["topk"] == ("topk", self.topk),
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)


MAPS: Keep = Keep(pool=0, topk=0, entropy=False, received=False, dense_limit=0, maps=True)
"""Whole maps, to be asked later, and nothing else."""


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """Statistics of one call of one layer's attention: a whole text, or one step of generation.

    Attributes:
        shape: `(batch, heads, queries, keys)`.
        first_key: position of key 0 in the text; above 0 when a sliding cache has dropped keys.
        first_query: position of query 0 in the text; above 0 when earlier ones are in a cache.
        pool: mean and maximum of blocks, `(batch, heads, blocks, blocks)`.
        topk: values and key positions, `(batch, heads, queries, k)`.
        entropy: `(batch, heads, queries)`, in nats.
        received: `(batch, heads, keys)`.
        lse: `(batch, heads, queries)`.
        max_score: `(batch, heads, queries)`.
        statistics: other statistics, each with its answer: an array or a tuple of arrays.
        dense: all weights, `(batch, heads, queries, keys)`.
        rows: weights of the chosen queries, `(batch, heads, chosen, keys)`.
        map: the attention map itself.
        is_cut: whether queries of rejected drafts were removed.
    """

    shape: tuple[int, int, int, int]
    first_key: int
    first_query: int = 0
    pool: Pool | None = None
    topk: TopK | None = None
    entropy: Floats | None = None
    received: Floats | None = None
    lse: Floats | None = None
    max_score: Floats | None = None
    statistics: tuple[tuple[Statistic, Any], ...] = ()
    dense: Floats | None = None
    rows: Floats | None = None
    map: AttentionMap | None = None
    is_cut: bool = False

    def head(self, queries: int) -> AttentionCall:
        """Return the call without the queries from this number on, which were rejected.

        What cannot be told of the others alone (blocks, chosen rows, the map) is dropped.
        """
        batch, heads, _, keys = self.shape
        keys = min(keys, self.first_query + queries - self.first_key)
        dense = None if self.dense is None else self.dense[:, :, :queries, :keys]
        return AttentionCall(
            (batch, heads, queries, keys),
            self.first_key,
            self.first_query,
            topk=self.topk and TopK(*(array[:, :, :queries] for array in self.topk)),
            entropy=None if self.entropy is None else self.entropy[:, :, :queries],
            lse=None if self.lse is None else self.lse[:, :, :queries],
            max_score=None if self.max_score is None else self.max_score[:, :, :queries],
            statistics=tuple(
                (one, _each(lambda array: array[:, :, :queries], answer))
                for one, answer in self.statistics
                if one.per == "query"
            ),
            received=None if self.received is None or dense is None else dense.sum(2),
            dense=dense,
            is_cut=True,
        )

    def beside(self, other: AttentionCall) -> AttentionCall:
        """Return the call of a text in two parts that do not see each other: this one and another.

        Blocks and chosen rows of the parts cannot be joined and are dropped, and so are the maps.
        """
        at = self.shape[3]

        def end_to_end(first: Any, second: Any) -> Any:
            return None if first is None or second is None else np.concatenate([first, second], 2)

        dense = None
        if self.dense is not None and other.dense is not None:
            dense = np.concatenate(
                [
                    pad_last_axis(self.dense, 0, at + other.shape[3]),
                    pad_last_axis(other.dense, at, at + other.shape[3]),
                ],
                axis=2,
            )
        topk = None
        if self.topk and other.topk:
            width = max(self.topk.values.shape[-1], other.topk.values.shape[-1])
            parts = [self.topk, TopK(other.topk.values, other.topk.positions + at)]
            topk = TopK(
                *(
                    np.concatenate([pad_last_axis(part[n], 0, width) for part in parts], axis=2)
                    for n in range(2)
                )
            )
        batch, heads, queries, _ = self.shape
        return AttentionCall(
            (batch, heads, queries + other.shape[2], at + other.shape[3]),
            self.first_key,
            self.first_query,
            topk=topk,
            entropy=end_to_end(self.entropy, other.entropy),
            lse=end_to_end(self.lse, other.lse),
            max_score=end_to_end(self.max_score, other.max_score),
            statistics=tuple(
                (one, joined([answer, theirs]))
                for (one, answer), (_, theirs) in zip(
                    self.statistics, other.statistics, strict=False
                )
                if one.per == "query"
            ),
            received=end_to_end(self.received, other.received),
            dense=dense,
        )

    def take(self, examples: NDArray[np.integer[Any]]) -> AttentionCall:
        """Select examples of the batch; -1 stands for one without this call, with zeros."""
        there = examples >= 0

        def rows(array: Any) -> Any:
            if array is None:
                return None
            taken = array[examples]
            taken[~there] = 0
            return taken

        return replace(
            self,
            shape=(len(examples), *self.shape[1:]),
            pool=self.pool and Pool(*map(rows, self.pool)),
            topk=self.topk and TopK(*map(rows, self.topk)),
            entropy=rows(self.entropy),
            lse=rows(self.lse),
            max_score=rows(self.max_score),
            statistics=tuple((one, _each(rows, answer)) for one, answer in self.statistics),
            received=rows(self.received),
            dense=rows(self.dense),
            rows=rows(self.rows),
            map=None,
        )


def capture(
    weights: AttentionMap,
    keep: Keep,
    *,
    first_key: int,
    first_query: int,
    module: str,
    dense: Callable[[], Any] | None = None,
) -> AttentionCall:
    """Compute the statistics to keep of a map.

    Args:
        weights: map of one call, `(batch, heads, queries, keys)`.
        keep: the statistics.
        first_key: position of key 0 in the text.
        first_query: position of query 0 in the text.
        module: name of the module, for error messages.
        dense: computes all weights faster than the map does.

    Raises:
        RegardError: some query has NaN weights.
    """
    batch, heads, queries, keys = weights.shape
    entropy = _numpy(weights.entropy())
    if not np.isfinite(entropy).all():
        bad = np.argwhere(~np.isfinite(entropy))
        raise RegardError(
            f"{module}: {len(bad)} of {entropy.size} queries have NaN attention weights, first example "
            f"{bad[0][0]}, head {bad[0][1]}, query {bad[0][2]}; the model's own states are NaN or "
            "infinite there: look at its weights and inputs, and try float32"
        )

    def kept(array: Any) -> NDArray[Any]:
        numbers: NDArray[Any] = _numpy(array).astype(keep.dtype, copy=False)
        return numbers

    topk = None
    if keep.topk:
        values, positions = weights.topk(keep.topk)
        topk = TopK(kept(values), _numpy(positions).astype(np.int64) + first_key)
    rows = [row for row in keep.rows if -queries <= row < queries]
    whole = (dense or weights.dense)() if keep.is_whole(queries * keys) else None
    received = None
    if keep.received:
        received = kept(weights.received() if whole is None else whole.sum(2))
    return AttentionCall(
        (batch, heads, queries, keys),
        first_key,
        first_query,
        pool=Pool(*map(kept, weights.pool(keep.pool, keep.pool))) if keep.pool else None,
        topk=topk,
        entropy=entropy.astype(keep.dtype, copy=False) if keep.entropy else None,
        received=received,
        lse=_numpy(weights.lse()) if keep.lse else None,
        max_score=_numpy(weights.max_score()) if keep.max_score else None,
        statistics=tuple((one, _each(_numpy, weights.statistic(one))) for one in keep.statistics),
        dense=None if whole is None else kept(whole),
        rows=kept(weights[:, :, rows]) if rows else None,
        map=weights if keep.maps or keep.rollout else None,
    )


def _numpy(array: Any) -> NDArray[Any]:
    numbers: NDArray[Any] = array.numpy(force=True)
    return numbers


def _each(function: Callable[[Any], Any], answer: Any) -> Any:
    """The function of an array, or of each of a tuple of arrays."""
    return tuple(map(function, answer)) if isinstance(answer, tuple) else function(answer)


def joined(answers: Sequence[Any]) -> Any:
    """Answers for queries that follow each other, as one."""
    if isinstance(answers[0], tuple):
        return tuple(np.concatenate(parts, axis=2) for parts in zip(*answers, strict=True))
    return answers[0] if len(answers) == 1 else np.concatenate(answers, axis=2)


def pad_last_axis(array: NDArray[Any], before: int, width: int) -> NDArray[Any]:
    """Pad the last axis to `width` with zeros, `before` of them in front."""
    padding = [(0, 0)] * (array.ndim - 1) + [(before, width - before - array.shape[-1])]
    return np.pad(array, padding)
