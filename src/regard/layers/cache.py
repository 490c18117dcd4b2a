"""Keys and values that were projected before, and the short way to attend to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from regard.attention import AttentionMap
from regard.attention.masks import Mask

__all__ = ["Cache", "attend_decode_step"]

FEW, WORTH = 16, 32
"""At most so many queries share a row of keys, and at least so many rows ask, for the short way."""


@dataclass(frozen=True)
class Cache:
    """Keys and values that were projected before.

    A beam reorders its rows after every step. Here that reorders a table of where keys stand: those of the
    past are written once and never moved, however many rows come to share them.

    Attributes:
        key: `(stored, key_heads, keys, features)`.
        value: likewise.
        row_index: `(batch, keys)`, which of `stored` holds the key of a row at a place; `None` where
            each row has its own.
    """

    key: Tensor
    value: Tensor
    row_index: Tensor | None = None
    buffer: KeyValueBuffer | None = None

    def select(self, indices: Tensor) -> Self:
        """The rows at `indices`: reorders, repeats or drops examples."""
        if self.row_index is not None:
            return replace(self, row_index=self.row_index.index_select(0, indices))
        return type(self)(self.key.index_select(0, indices), self.value.index_select(0, indices))

    def extend(self, key: Tensor, value: Tensor) -> Self:
        """Later keys and values, `(batch, key_heads, new, features)`, behind these.

        This one holds what it held: only the first to extend it writes behind it, others copy.
        """
        batch, length = len(key), self.length + key.shape[2]
        row = torch.arange(batch, device=key.device)[:, None]
        row_index = row.expand(batch, self.length) if self.row_index is None else self.row_index
        buffer = self.buffer
        if buffer is None or not buffer.fits(self.length, key):
            buffer, row_index = (
                KeyValueBuffer.of(*self.gathered(), length),
                row.expand(batch, self.length),
            )
        buffer.write(self.length, key, value)
        row_index = torch.cat([row_index, row.expand(batch, key.shape[2])], 1)
        key, value = (x[:length].permute(1, 2, 0, 3) for x in (buffer.key, buffer.value))
        return type(self)(key, value, row_index, buffer)

    def gathered(self) -> tuple[Tensor, Tensor]:
        """Key and value of every row, `(batch, key_heads, keys, features)` each."""
        if self.row_index is None:
            return self.key, self.value
        head = torch.arange(self.key.shape[1], device=self.key.device)[:, None]
        place = torch.arange(self.length, device=self.key.device)
        at = self.row_index[:, None], head, place
        return self.key[at], self.value[at]

    @property
    def length(self) -> int:
        """How many keys a row has."""
        return self.key.shape[2]


@dataclass
class KeyValueBuffer:
    """Memory for keys to come, `(places, stored, key_heads, features)`; `filled` places are taken.

    What a step writes lies in one piece, and so does nearly all that the rows of an example read of it.
    """

    key: Tensor
    value: Tensor
    filled: int

    @classmethod
    def of(cls, key: Tensor, value: Tensor, length: int) -> KeyValueBuffer:
        """Room for `length` places and as many again, begun with some keys and values."""
        batch, heads, _, features = key.shape
        shape = max(16, 2 * length), batch, heads, features
        buffer = cls(key.new_empty(shape), value.new_empty(shape), 0)
        buffer.write(0, key, value)
        return buffer

    def fits(self, length: int, new: Tensor) -> bool:
        """Whether `new` keys behind the first `length` can be written without harm to anyone.

        Not if someone did so before, nor where a gradient may still want what stands there.
        """
        return (
            self.filled == length
            and len(new) <= self.key.shape[1]
            and length + new.shape[2] <= len(self.key)
            and not (new.requires_grad or self.key.requires_grad)
        )

    def write(self, first: int, key: Tensor, value: Tensor) -> None:
        """Put keys and values at places from `first` on."""
        self.filled = first + key.shape[2]
        self.key[first : self.filled, : len(key)] = key.permute(2, 0, 1, 3)
        self.value[first : self.filled, : len(key)] = value.permute(2, 0, 1, 3)


def attend_decode_step(
    query: Tensor, cache: Cache, mask: Mask | Tensor | None, *, scale: float
) -> tuple[Tensor, AttentionMap] | None:
    """Scaled dot product attention of a few queries to a cache, without the bookkeeping of `attend`.

    Args:
        query: `(batch, heads, queries, features)`.
        cache: one row per row of the batch.
        mask: `None`; or, to a cache without `row_index`, Boolean `(batch, 1, 1, keys)`.
        scale: of the dot products.

    Returns:
        Output `(batch, queries, heads * features)`, and the map; `None` where it is not worth it or
        `attend` is needed: other types, other devices, gradients, masks that tell queries apart, and
        whatever is broadcast or does not fit.
    """
    batch, heads, queries, _ = query.shape
    rows = len(cache.key if cache.row_index is None else cache.row_index)
    if not (
        queries <= FEW
        and rows == batch
        and batch * queries >= WORTH
        and query.device.type == "cpu"
        and query.dtype == cache.key.dtype == cache.value.dtype == torch.float32
        and not torch.is_grad_enabled()
        and (cache.row_index is None or queries == 1)
        and (mask is None or (cache.row_index is None and _of_keys(mask, batch, cache.length)))
    ):
        return None
    from regard.attention.kernels.decode_step import attend_to_few

    row_index = cache.row_index
    if row_index is None:
        row = torch.arange(batch).repeat_interleave(queries)
        row_index = row[:, None].expand(-1, cache.length).contiguous()
    allowed = None
    if mask is not None:
        assert isinstance(mask, Tensor)
        allowed = mask[:, 0, 0].contiguous().numpy()
    found = attend_to_few(
        query.transpose(1, 2).flatten(0, 1).numpy(),
        cache.key.numpy(),
        cache.value.numpy(),
        row_index.numpy(),
        allowed,
        scale=scale,
    )
    output, weights = (torch.from_numpy(x).view(batch, queries, heads, -1) for x in found)
    return output.flatten(2), AttentionMap.from_dense(weights.transpose(1, 2))


def _of_keys(mask: Mask | Tensor, batch: int, keys: int) -> bool:
    """Whether a mask says of each row which keys are real, and no more."""
    return (
        isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == (batch, 1, 1, keys)
    )
