"""What to keep of the attention of a model that is not ours, and the form it is kept in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from regard.attention import AttentionMap
from regard.attention.map import WATCHABLE, Pool, TopK
from regard.errors import InputError, RegardError
from regard.settings import Settings

__all__ = ["Call", "Keep", "Layer", "keep_of"]

Floats = NDArray[np.float32]


Count = Annotated[int, Field(ge=0)]


class Keep(Settings):
    """What to keep of each layer and head.

    Attributes:
        pool: blocks each way of the mean and maximum map; 0 for none.
        topk: so many keys of each query; 0 for none.
        entropy: of each query.
        received: by each key.
        whole: maps of at most so many queries x keys, squared, are kept whole too; 0 for none.
        rows: queries whose weights are kept, whatever the length; negative ones count from the end.
        rollout: queries to follow back through all layers of self-attention.
        maps: keep an `AttentionMap` of every layer, to ask anything of later. It holds the queries
            and keys of the layer: as much as a key-value cache.
    """

    title: ClassVar[str] = "keep"

    pool: Count = 64
    topk: Count = 8
    entropy: bool = True
    received: bool = True
    whole: Count = 512
    rows: tuple[int, ...] = ()
    rollout: tuple[int, ...] = ()
    maps: bool = False

    @property
    def watch(self) -> tuple[str, ...]:
        """What `attend` can compute along with its output; the rest is asked of the map."""
        kept = {
            "entropy": True,  # tells NaN, kept or not
            "pool": WATCHABLE["pool"] == ("pool", self.pool, self.pool),
            "received": self.received,
            "topk": WATCHABLE["topk"] == ("topk", self.topk),
        }
        return tuple(name for name, wanted in kept.items() if wanted)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one layer's attention: a text at once, or one step of generation.

    Attributes:
        shape: `(batch, heads, queries, keys)`.
        first_key: position of key 0; above 0 when a sliding cache has dropped early keys.
        pool: mean and maximum of blocks, `(batch, heads, blocks, blocks)`.
        topk: values and positions, `(batch, heads, queries, k)`.
        entropy: `(batch, heads, queries)`, nats.
        received: `(batch, heads, keys)`.
        whole: `(batch, heads, queries, keys)`.
        rows: `(batch, heads, chosen, keys)`.
        map: to ask anything of.
    """

    shape: tuple[int, int, int, int]
    first_key: int
    pool: Pool | None = None
    topk: TopK | None = None
    entropy: Floats | None = None
    received: Floats | None = None
    whole: Floats | None = None
    rows: Floats | None = None
    map: AttentionMap | None = None


def keep_of(weights: AttentionMap, keep: Keep, *, first_key: int, where: str) -> Call:
    """Ask a map for all that is to be kept.

    Raises:
        RegardError: a query whose weights are not numbers.
    """
    batch, heads, queries, keys = weights.shape
    entropy = _numpy(weights.entropy())
    if not np.isfinite(entropy).all():
        bad = np.argwhere(~np.isfinite(entropy))
        raise RegardError(
            f"{where} attends by NaN for {len(bad)} of {entropy.size} queries, first example "
            f"{bad[0][0]}, head {bad[0][1]}, query {bad[0][2]}; the model's own states are NaN or "
            "infinite there: look at its weights and inputs, and try float32"
        )
    topk = None
    if keep.topk:
        values, positions = weights.topk(keep.topk)
        topk = TopK(_numpy(values), _numpy(positions).astype(np.int64) + first_key)
    rows = [row for row in keep.rows if -queries <= row < queries]
    return Call(
        (batch, heads, queries, keys),
        first_key,
        pool=Pool(*map(_numpy, weights.pool(keep.pool, keep.pool))) if keep.pool else None,
        topk=topk,
        entropy=entropy if keep.entropy else None,
        received=_numpy(weights.received()) if keep.received else None,
        whole=_numpy(weights.dense()) if queries * keys <= keep.whole**2 else None,
        rows=_numpy(weights[:, :, rows]) if rows else None,
        map=weights if keep.maps or keep.rollout else None,
    )


def _numpy(array: Any) -> NDArray[Any]:
    numbers: NDArray[Any] = array.numpy(force=True)
    return numbers


@dataclass(frozen=True, eq=False)
class Layer:
    """The attention of one layer over all calls: one, or one for each step of generation.

    What is kept of several calls is joined along the queries, with zeros for keys that did not exist
    yet. Beam search reorders its batch between steps; rows of one example then belong to several
    hypotheses.

    Attributes:
        place: `"encoder"`, `"decoder"` or `"cross"`.
        index: of the layer in its place, from 0.
        module: its name in the model.
        calls: in order.
        causal: whether queries see earlier keys only.
    """

    place: str
    index: int
    module: str
    calls: tuple[Call, ...]
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
        """`(batch, heads, queries)`, nats."""
        return self._join("entropy", lambda call: call.entropy, axis=2)

    @property
    def received(self) -> Floats:
        """`(batch, heads, keys)`: the sum over queries of what each key was given."""
        parts = self._kept("received", lambda call: call.received)
        total: Floats = sum(self._at_keys(call, part) for call, part in parts)  # type: ignore[assignment]
        return total

    @property
    def topk(self) -> TopK:
        """Values and positions, `(batch, heads, queries, k)`; absent ones are 0 at position 0."""
        return TopK(
            self._join("topk", lambda call: call.topk and call.topk.values, axis=2, ragged=True),
            self._join("topk", lambda call: call.topk and call.topk.positions, axis=2, ragged=True),
        )

    @property
    def whole(self) -> Floats:
        """`(batch, heads, queries, keys)`."""
        parts = self._kept("whole", lambda call: call.whole)
        return np.concatenate([self._at_keys(call, part) for call, part in parts], axis=2)

    @property
    def rows(self) -> Floats:
        """`(batch, heads, chosen, keys)`: the chosen queries of each call."""
        parts = self._kept("rows", lambda call: call.rows)
        return np.concatenate([self._at_keys(call, part) for call, part in parts], axis=2)

    @property
    def pool(self) -> Pool:
        """Mean and maximum of blocks, `(batch, heads, blocks, blocks)`, of a single call."""
        ((_, pool),) = self._kept("pool", lambda call: call.pool, single=True)
        kept: Pool = pool
        return kept

    @property
    def map(self) -> AttentionMap:
        """The map itself, of a single call."""
        ((_, weights),) = self._kept("maps", lambda call: call.map, single=True)
        kept: AttentionMap = weights
        return kept

    def has(self, name: str) -> bool:
        """Whether every call kept this."""
        return all(getattr(call, name) is not None for call in self.calls)

    def _kept(
        self, name: str, of: Callable[[Call], Any], *, single: bool = False
    ) -> Sequence[tuple[Call, Any]]:
        parts = [(call, of(call)) for call in self.calls]
        if any(part is None for _, part in parts):
            raise InputError(
                f"{name} of {self.place} layer {self.index} was not kept; "
                f"try regard.watch(model, keep=Keep({name}=...)), with Keep of regard.integrations"
            )
        if single and len(parts) > 1:
            raise InputError(
                f"{self.place} layer {self.index} was called {len(parts)} times and {name} cannot be "
                "joined; look at each of its calls"
            )
        return parts

    def _join(
        self, name: str, of: Callable[[Call], Any], *, axis: int, ragged: bool = False
    ) -> NDArray[Any]:
        arrays = [part for _, part in self._kept(name, of)]
        if ragged:
            width = max(array.shape[-1] for array in arrays)
            arrays = [_widened(array, 0, width) for array in arrays]
        return np.concatenate(arrays, axis=axis)

    def _at_keys(self, call: Call, array: NDArray[Any]) -> NDArray[Any]:
        """`array` over the keys of one call, placed among those of all."""
        return _widened(array, call.first_key, self._keys)


def _widened(array: NDArray[Any], before: int, width: int) -> NDArray[Any]:
    """Zeros around the last axis: so many before, and after up to the width."""
    around = [(0, 0)] * (array.ndim - 1) + [(before, width - before - array.shape[-1])]
    return np.pad(array, around)
