"""Masks of `transformers` that are built a few rows at a time.

`transformers` hands a model its causal, sliding-window or padding mask as a whole `(batch, 1, queries,
keys)` array, made once per forward pass by the *mask function* registered for the attention in use.
At 32,768 tokens that is a gigabyte per text, before anything is attended to. Ours returns a tensor
that knows how to make its rows; attention then goes row block by row block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from regard.attention.layout import AttentionLayout
from regard.attention.masks import Intervals, Mask

__all__ = ["LazyMask", "Rows", "lazy_mask"]

Tile = Callable[[slice], Tensor]


class LazyMask(Tensor):
    """A Boolean `(batch, 1, queries, keys)` mask that exists a few rows at a time.

    Shape, type and device are known. Whatever else a model does with it (some slice their masks, or
    add them to another) is done with the whole array, made for that moment.

    Attributes:
        rows: the mask as `regard` takes it.
        first_key: the position of key 0 in the text; above 0 when a cache has dropped early keys.
    """

    rows: Rows
    first_key: int

    @staticmethod
    def __new__(
        cls, tile: Tile, shape: tuple[int, int, int, int], device: torch.device, first_key: int
    ) -> LazyMask:
        """A mask of this shape whose rows `tile` makes."""
        mask: LazyMask = torch.Tensor._make_wrapper_subclass(
            cls, shape, dtype=torch.bool, device=device
        )
        mask.rows, mask.first_key = Rows(tile, shape[2]), first_key
        return mask

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Any operation at all: do it with the whole mask."""

        def whole(x: Any) -> Any:
            return x.rows.tile_of(slice(0, x.shape[2])) if isinstance(x, LazyMask) else x

        return function(*tree_map(whole, args), **tree_map(whole, kwargs or {}))


class Rows(Mask):
    """A mask made by a function of its rows."""

    def __init__(self, tile: Tile, queries: int) -> None:
        self.tile_of, self._queries = tile, queries
        self._intervals: Intervals | None = None
        self._scanned = False

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Tensor:
        """The rows, cut to the columns."""
        return self.tile_of(rows)[..., columns]

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        """The range of keys of each query, found by looking at every row once."""
        if not self._scanned:
            self._intervals, self._scanned = self._scan(), True
        return self._intervals

    def _scan(self) -> Intervals | None:
        low, high = [], []
        for start in range(0, self._queries, 256):
            tile = self.tile_of(slice(start, min(start + 256, self._queries)))
            count = tile.sum(-1)
            first = tile.byte().argmax(-1)  # 0 for a row of nothing, which is then 0 to 0
            last = tile.shape[-1] - tile.flip(-1).byte().argmax(-1)
            if bool(((count > 0) & (last - first != count)).any()):
                return None
            low.append(first)
            high.append(first + count)
        return torch.cat(low, -1), torch.cat(high, -1)


def lazy_mask(
    dense: Callable[..., Tensor | None],
    *,
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: int = 0,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    device: torch.device | str = "cpu",
    **pattern: Any,
) -> Tensor | None:
    """The mask function: what `transformers` would make for `sdpa`, in rows.

    All arguments are those of `transformers.masking_utils.sdpa_mask`, but for `dense`, which is that
    function; it makes the rows. Like it, this returns `None` where the mask says nothing that the
    flag `is_causal` does not.
    """
    unpadded = attention_mask is None or (
        attention_mask.shape[-1] >= kv_length + kv_offset and bool(attention_mask.all())
    )
    everywhere = unpadded and (local_size is None or kv_length < local_size)
    last_rows = q_length == 1 or q_length == kv_length
    if everywhere and (allow_is_bidirectional_skip or (allow_is_causal_skip and last_rows)):
        return None
    make = partial(
        dense,
        batch_size=batch_size,
        kv_length=kv_length,
        kv_offset=kv_offset,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        allow_is_bidirectional_skip=False,
        device=device,
        **pattern,
    )

    def tile(rows: slice) -> Tensor:
        made = make(q_length=rows.stop - rows.start, q_offset=q_offset + rows.start)
        assert made is not None
        return made

    return LazyMask(tile, (batch_size, 1, q_length, kv_length), torch.device(device), kv_offset)
