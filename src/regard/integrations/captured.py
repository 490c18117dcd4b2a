"""Statistics captured from the attention of a watched model, call by call and joined by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, InstanceOf

from regard.attention import AttentionMap
from regard.attention.answers import WATCHABLE, is_same
from regard.attention.map import Pool, TopK
from regard.attention.statistics import Statistic
from regard.errors import InputError, RegardError
from regard.settings import Settings

__all__ = ["MAPS", "AttentionCall", "Keep", "LayerAttention", "capture"]

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
                    _pad_last_axis(self.dense, 0, at + other.shape[3]),
                    _pad_last_axis(other.dense, at, at + other.shape[3]),
                ],
                axis=2,
            )
        topk = None
        if self.topk and other.topk:
            width = max(self.topk.values.shape[-1], other.topk.values.shape[-1])
            parts = [self.topk, TopK(other.topk.values, other.topk.positions + at)]
            topk = TopK(
                *(
                    np.concatenate([_pad_last_axis(part[n], 0, width) for part in parts], axis=2)
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
                (one, _joined([answer, theirs]))
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


@dataclass(frozen=True, eq=False)
class LayerAttention:
    """Attention of one layer over all its calls: one call, or one for each step of generation.

    Statistics of several calls are joined along the queries, with zeros for keys that did not exist
    yet. After beam search an example is a finished hypothesis: the row of each step is that of the
    beam it descends from, and zero after its end.

    Attributes:
        site: `"encoder"`, `"decoder"` (both self-attention), `"cross"`, or the name of a tower.
        index: index of the layer among those of its site, from 0.
        module: name of the attention module in the model.
        calls: statistics of each call, in order.
        causal: whether queries see only earlier keys.
    """

    site: str
    index: int
    module: str
    calls: tuple[AttentionCall, ...]
    causal: bool = field(default=False)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(batch, heads, queries, keys)` of all calls together."""
        batch, heads = self.calls[0].shape[:2]
        queries = sum(call.shape[2] for call in self.calls)
        return batch, heads, queries, self._keys

    @property
    def _keys(self) -> int:
        return max(call.first_key + call.shape[3] for call in self.calls)

    @property
    def entropy(self) -> Floats:
        """Entropy of each query in nats, `(batch, heads, queries)`."""
        return self._join("entropy", lambda call: call.entropy, axis=2)

    @property
    def lse(self) -> Floats:
        """Log-sum-exp of each query's scores, `(batch, heads, queries)`; -inf for a masked one."""
        return self._join("lse", lambda call: call.lse, axis=2)

    @property
    def max_score(self) -> Floats:
        """Largest score of each query, `(batch, heads, queries)`; -inf for a masked one."""
        return self._join("max_score", lambda call: call.max_score, axis=2)

    def statistic(self, statistic: Statistic) -> Any:
        """Return the answer of a statistic that was kept, an array or a tuple of arrays.

        Args:
            statistic: one of `Keep.statistics`, or another object of its class with its attributes.

        Raises:
            InputError: a statistic that was not kept, or an answer for keys or heads over several calls.
        """

        def of(call: AttentionCall) -> Any:
            found = (answer for one, answer in call.statistics if is_same(one, statistic))
            return next(found, None)

        several = statistic.per != "query"  # of queries the answers of the calls follow each other
        name = type(statistic).__name__
        parts = self._captured(name, "statistics", of, single=several)
        return _joined([answer for _, answer in parts])

    @property
    def received(self) -> Floats:
        """Sum over the queries of the weight of each key, `(batch, heads, keys)`."""
        parts = self._captured("received", "received", lambda call: call.received)
        total: Floats = sum(self._at_keys(call, part) for call, part in parts)  # type: ignore[assignment]
        return total

    @property
    def topk(self) -> TopK:
        """Largest weights and their key positions, `(batch, heads, queries, k)`, padded with 0."""
        return TopK(
            self._join("topk", lambda call: call.topk and call.topk.values, axis=2, ragged=True),
            self._join("topk", lambda call: call.topk and call.topk.positions, axis=2, ragged=True),
        )

    @property
    def dense(self) -> Floats:
        """All weights, `(batch, heads, queries, keys)`."""
        parts = self._captured("dense", "dense_limit", lambda call: call.dense)
        return np.concatenate([self._at_keys(call, part) for call, part in parts], axis=2)

    @property
    def rows(self) -> Floats:
        """Weights of the chosen queries of each call, `(batch, heads, chosen, keys)`."""
        parts = self._captured("rows", "rows", lambda call: call.rows)
        return np.concatenate([self._at_keys(call, part) for call, part in parts], axis=2)

    @property
    def pool(self) -> Pool:
        """Mean and maximum of blocks, `(batch, heads, blocks, blocks)`, of a single call."""
        ((_, pool),) = self._captured("pool", "pool", lambda call: call.pool, single=True)
        captured: Pool = pool
        return captured

    @property
    def map(self) -> AttentionMap:
        """The attention map of a single call."""
        ((_, weights),) = self._captured("map", "maps", lambda call: call.map, single=True)
        captured: AttentionMap = weights
        return captured

    def has(self, name: str) -> bool:
        """Return whether every call kept the statistic of this name."""
        return all(getattr(call, name) is not None for call in self.calls)

    def _captured(
        self,
        name: str,
        setting: str,
        select: Callable[[AttentionCall], Any],
        *,
        single: bool = False,
    ) -> Sequence[tuple[AttentionCall, Any]]:
        """Pair each call with its statistic, which must have been kept."""
        sizes = sorted({call.shape[:2] for call in self.calls})
        if len(sizes) > 1:
            raise InputError(
                f"{self.site} layer {self.index} was called with {' and '.join(map(str, sizes))} examples and "
                "heads in one text, which cannot be joined; look at each of its calls"
            )
        parts = [(call, select(call)) for call in self.calls]
        if any(part is None and call.is_cut for call, part in parts):
            raise InputError(
                f"{name} of {self.site} layer {self.index} cannot be told without the rejected drafts "
                "of assisted generation; generate without an assistant, or keep=Keep(dense_limit=...) "
                "with a limit above the length"
            )
        if any(part is None for _, part in parts):
            raise InputError(
                f"{name} of {self.site} layer {self.index} was not kept; try "
                f"regard.watch(model, keep=Keep({setting}=...)), with Keep of regard.integrations"
            )
        if single and len(parts) > 1:
            raise InputError(
                f"{self.site} layer {self.index} was called {len(parts)} times and {name} cannot be "
                "joined; look at each of its calls"
            )
        return parts

    def _join(
        self,
        name: str,
        select: Callable[[AttentionCall], Any],
        *,
        axis: int,
        ragged: bool = False,
    ) -> NDArray[Any]:
        """Concatenate a statistic of all calls; `ragged` ones are padded along the last axis."""
        arrays = [part for _, part in self._captured(name, name, select)]
        if ragged:
            width = max(array.shape[-1] for array in arrays)
            arrays = [_pad_last_axis(array, 0, width) for array in arrays]
        return np.concatenate(arrays, axis=axis)

    def _at_keys(self, call: AttentionCall, array: NDArray[Any]) -> NDArray[Any]:
        """Pad an array over the keys of one call to the keys of all calls."""
        return _pad_last_axis(array, call.first_key, self._keys)


def _each(function: Callable[[Any], Any], answer: Any) -> Any:
    """The function of an array, or of each of a tuple of arrays."""
    return tuple(map(function, answer)) if isinstance(answer, tuple) else function(answer)


def _joined(answers: Sequence[Any]) -> Any:
    """Answers for queries that follow each other, as one."""
    if isinstance(answers[0], tuple):
        return tuple(np.concatenate(parts, axis=2) for parts in zip(*answers, strict=True))
    return answers[0] if len(answers) == 1 else np.concatenate(answers, axis=2)


def _pad_last_axis(array: NDArray[Any], before: int, width: int) -> NDArray[Any]:
    """Pad the last axis to `width` with zeros, `before` of them in front."""
    padding = [(0, 0)] * (array.ndim - 1) + [(before, width - before - array.shape[-1])]
    return np.pad(array, padding)
