"""Statistics of a layer of a watched model, joined over its calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.attention import AttentionMap
from regard.attention.answers import is_same
from regard.attention.map import Pool, TopK
from regard.attention.statistics import Statistic
from regard.errors import InputError
from regard.integrations.captured import AttentionCall, Floats, joined, pad_last_axis

__all__ = ["LayerAttention"]


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
        return joined([answer for _, answer in parts])

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
            arrays = [pad_last_axis(array, 0, width) for array in arrays]
        return np.concatenate(arrays, axis=axis)

    def _at_keys(self, call: AttentionCall, array: NDArray[Any]) -> NDArray[Any]:
        """Pad an array over the keys of one call to the keys of all calls."""
        return pad_last_axis(array, call.first_key, self._keys)
