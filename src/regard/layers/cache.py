"""The key-value cache of a decoder, and attention of a few queries to it.

A beam search reorders its rows after every step. Gathering the cached keys each time would copy all of
them; here a table says where the keys of each row are, and only the table is reordered. Two rows that
continue the first of two hypotheses::

    stored keys                    row_index after select([0, 0])     after extend
    position  0   1                position  0   1                    position  0   1   2
    stored 0  a0  a1               row 0     0   0                    row 0     0   0   0
    stored 1  b0  b1               row 1     0   0                    row 1     0   0   1

Both rows read `a0 a1`; each then writes its own key at position 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from regard.attention import AttentionMap
from regard.attention.exporting import is_exporting
from regard.attention.kernels import limits
from regard.attention.masks import Mask
from regard.attention.normalizers import align_sink

__all__ = ["Cache", "DeferredCaches", "KeyValueBuffer", "attend_decode_step"]


@dataclass(frozen=True)
class Cache:
    """Projected keys and values of the positions so far.

    A cache is never changed: `select` and `extend` return another one. Stored keys are written once
    and never moved, however many rows share them.

    Attributes:
        key: `(stored, key_heads, keys, features)`.
        value: `(stored, key_heads, keys, features)`.
        row_index: `(batch, keys)`, the index among `stored` of the key of each row and position;
            `None` if row `i` has the keys stored at `i`.
        buffer: memory behind `key` and `value` with room for later positions, if any.
    """

    key: Tensor
    value: Tensor
    row_index: Tensor | None = None
    buffer: KeyValueBuffer | None = None

    @property
    def length(self) -> int:
        """Number of keys of each row."""
        return self.key.shape[2]

    def select(self, indices: Tensor) -> Self:
        """The cache of the rows at `indices`, which may reorder, repeat or drop rows."""
        if self.row_index is not None:
            return replace(self, row_index=self.row_index.index_select(0, indices))
        return type(self)(self.key.index_select(0, indices), self.value.index_select(0, indices))

    def extend(self, key: Tensor, value: Tensor) -> Self:
        """A cache with further positions at the end; this one is unchanged.

        The first call writes behind this cache in the buffer they share. Another call on this cache
        finds the memory taken, and copies.

        Args:
            key: `(batch, key_heads, new, features)`.
            value: `(batch, key_heads, new, features)`.
        """
        if is_exporting():
            return type(self)(torch.cat([self.key, key], 2), torch.cat([self.value, value], 2))
        batch, length = len(key), self.length + key.shape[2]
        row = torch.arange(batch, device=key.device)[:, None]
        own_rows = row.expand(batch, self.length)
        row_index = own_rows if self.row_index is None else self.row_index
        buffer = self.buffer
        if buffer is None or not buffer.fits(self.length, key):
            buffer, row_index = KeyValueBuffer.of(*self.gathered(), length), own_rows
        buffer.write(self.length, key, value)
        row_index = torch.cat([row_index, row.expand(batch, key.shape[2])], 1)
        key, value = (x[:length].permute(1, 2, 0, 3) for x in (buffer.key, buffer.value))
        return type(self)(key, value, row_index, buffer)

    def gathered(self) -> tuple[Tensor, Tensor]:
        """Key and value of every row, `(batch, key_heads, keys, features)` each."""
        if self.row_index is None:
            return self.key, self.value
        head = torch.arange(self.key.shape[1], device=self.key.device)[:, None]
        position = torch.arange(self.length, device=self.key.device)
        index = self.row_index[:, None], head, position
        return self.key[index], self.value[index]


class DeferredCaches:
    """Caches of several layers whose rows are selected when they are read.

    The source of an example is attended to until the example is done. Others are done before it, and each time
    all keys that are left would be copied. A kernel that finds its rows by a table needs no copy.

    Attributes:
        stored: the caches as they were made, one for each layer.
        rows: `(batch,)`, the rows of `stored` that are left, in order; `None` for all.
    """

    def __init__(self, stored: Sequence[Cache], rows: Tensor | None = None) -> None:
        self.stored: tuple[Cache, ...] = tuple(stored)
        self.rows: Tensor | None = rows
        self._selected: tuple[Cache, ...] | None = self.stored if rows is None else None

    def select(self, indices: Tensor) -> Self:
        """The caches of the rows at `indices`."""
        rows = indices if self.rows is None else self.rows.index_select(0, indices)
        return type(self)(self.stored, rows)

    def __iter__(self) -> Iterator[Cache]:
        """The selected cache of each layer."""
        if self._selected is None:
            assert self.rows is not None
            rows = self.rows
            self._selected = tuple(cache.select(rows) for cache in self.stored)
        return iter(self._selected)


@dataclass
class KeyValueBuffer:
    """Preallocated memory for keys and values, `(positions, stored, key_heads, features)` each.

    Positions come first: what a step writes is then contiguous, and so is nearly all that the rows of
    an example read of it.

    Attributes:
        key: the keys.
        value: the values.
        filled: positions written so far.
    """

    key: Tensor
    value: Tensor
    filled: int

    @classmethod
    def of(cls, key: Tensor, value: Tensor, length: int) -> KeyValueBuffer:
        """A buffer of twice `length` positions, at least 16, that begins with some keys and values."""
        batch, heads, _, features = key.shape
        shape = max(16, 2 * length), batch, heads, features
        buffer = cls(key.new_empty(shape), value.new_empty(shape), 0)
        buffer.write(0, key, value)
        return buffer

    def fits(self, length: int, new: Tensor) -> bool:
        """Whether `new` keys can be written behind the first `length` without overwriting any in use.

        They cannot if another cache was extended there before, nor if a backward pass may still need
        what the buffer holds.
        """
        return (
            self.filled == length
            and len(new) <= self.key.shape[1]
            and length + new.shape[2] <= len(self.key)
            and not (new.requires_grad or self.key.requires_grad)
        )

    def write(self, first: int, key: Tensor, value: Tensor) -> None:
        """Write keys and values, `(batch, key_heads, new, features)`, at positions from `first` on."""
        self.filled = first + key.shape[2]
        self.key[first : self.filled, : len(key)] = key.permute(2, 0, 1, 3)
        self.value[first : self.filled, : len(key)] = value.permute(2, 0, 1, 3)


def attend_decode_step(
    query: Tensor,
    cache: Cache,
    mask: Mask | Tensor | None,
    *,
    scale: float,
    cap: float | None = None,
    sink: Any = None,
) -> tuple[Tensor, AttentionMap] | None:
    """Scaled dot product attention of one decoding step, without the fixed cost of `attend`.

    Args:
        query: `(batch, heads, queries, features)`.
        cache: keys and values of `batch` rows.
        mask: `None`; or, for a cache without `row_index`, Boolean `(batch, 1, 1, keys)`.
        scale: factor of the dot products.
        cap: of the scores, as in `regard.scores.Capped`; `None` for none.
        sink: of the softmax, as in `regard.normalizers.Softmax`; `None` for none.

    Returns:
        Output `(batch, queries, heads * features)`, and the map. `None` where the kernel does not
        apply and the caller must use `attend`: too many or too few queries, another type than
        float32, another device than the processor, gradients, masks that differ between queries, and
        batches that are broadcast or do not fit.
    """
    batch, heads, queries, _ = query.shape
    rows = len(cache.key if cache.row_index is None else cache.row_index)
    if not (
        queries <= limits.DECODE_MAX_QUERIES
        and rows == batch
        and batch * queries >= limits.DECODE_MIN_ROWS
        and query.device.type == "cpu"
        and query.dtype == cache.key.dtype == cache.value.dtype == torch.float32
        and not torch.is_grad_enabled()
        and (cache.row_index is None or queries == 1)
        and (mask is None or (cache.row_index is None and _masks_keys(mask, batch, cache.length)))
    ):
        return None
    from regard.attention.kernels.decode_step import attend_decode

    # The kernel takes one query per row: the queries of a row become rows that share its keys.
    row_index = cache.row_index
    if row_index is None:
        row = torch.arange(batch, device=query.device).repeat_interleave(queries)
        row_index = row[:, None].expand(-1, cache.length).contiguous()
    allowed = None
    if mask is not None:
        assert isinstance(mask, Tensor)
        allowed = mask[:, 0, 0].contiguous().numpy()
    found = attend_decode(
        query.transpose(1, 2).flatten(0, 1).numpy(),
        cache.key.numpy(),
        cache.value.numpy(),
        row_index.numpy(),
        allowed,
        scale=scale,
        cap=cap,
        sink=None if sink is None else _sink_of_rows(sink, query),
    )
    output, weights = (torch.from_numpy(x).view(batch, queries, heads, -1) for x in found)
    return output.flatten(2), AttentionMap.from_dense(weights.transpose(1, 2))


def _sink_of_rows(sink: Any, query: Tensor) -> Any:
    """The sink of each query, `(batch * queries, heads)`, in NumPy; finite once it is in bits."""
    batch, heads, queries, _ = query.shape
    aligned = align_sink(sink, query, (batch, heads), query.dtype).detach()
    largest = torch.finfo(query.dtype).max * 0.6  # log 2 is 0.69
    aligned = aligned.clamp(max=largest).expand(batch, heads, queries, 1)
    return aligned[..., 0].transpose(1, 2).reshape(-1, heads).contiguous().numpy()


def _masks_keys(mask: Mask | Tensor, batch: int, keys: int) -> bool:
    """Whether a mask is a Boolean array that marks the real keys of each row, for all its queries."""
    return (
        isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == (batch, 1, 1, keys)
    )
