"""Attention masks of `transformers` that are built a few rows at a time.

`transformers` gives a model its causal, sliding-window or padding mask as one `(batch, 1, queries,
keys)` array, built once per forward pass by the *mask function* registered for the attention in use.
At 32,768 tokens that is a gigabyte for each text, before any attention is computed. The mask function
here returns a tensor that can build its rows, and attention then takes it block by block.
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

__all__ = ["LazyMask", "RowMask", "lazy_mask"]

BuildRows = Callable[[slice], Tensor]
"""Function that builds the rows of a slice of queries, `(batch, 1, rows, keys)` Boolean."""

_SCAN_ROWS = 256
"""Rows built at once when intervals are looked for."""


class LazyMask(Tensor):
    """A Boolean mask `(batch, 1, queries, keys)` that is built a few rows at a time.

    Shape, type and device are known. Every other operation (some models slice their mask, or add it
    to another) works on the full array, which is built for it.

    Attributes:
        row_mask: the mask as `regard.attend` takes it.
        first_key: position of key 0 in the text; above 0 when a cache has dropped early keys.
        first_query: position of query 0 in the text; above 0 when earlier ones are in a cache.
    """

    row_mask: RowMask
    first_key: int
    first_query: int

    @staticmethod
    def __new__(
        cls,
        build_rows: BuildRows,
        shape: tuple[int, int, int, int],
        device: torch.device,
        first_key: int = 0,
        first_query: int = 0,
    ) -> LazyMask:
        """Make a mask of this shape whose rows are built by `build_rows`."""
        mask: LazyMask = torch.Tensor._make_wrapper_subclass(
            cls, shape, dtype=torch.bool, device=device
        )
        mask.row_mask = RowMask(build_rows, shape[2])
        mask.first_key, mask.first_query = first_key, first_query
        return mask

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Apply any function of torch to the full mask, but for what is known without it."""
        if function in _FACTS:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **(kwargs or {}))
        return function(*tree_map(_full, args), **tree_map(_full, kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Apply any operator that is called beneath torch's functions to the full mask."""
        return function(*tree_map(_full, args), **tree_map(_full, kwargs or {}))


_FACTS = frozenset(
    (
        *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout")),
        *(getattr(Tensor, name).__get__ for name in ("requires_grad", "is_cuda", "is_nested")),
        *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__len__),
        *(Tensor.to, Tensor.contiguous, Tensor.bool),  # the mask itself where nothing is to be done
    )
)
"""Functions whose answer needs no element of the mask, or which decide themselves whether it does."""


def _full(x: Any) -> Any:
    """Build a lazy mask, once: what a model writes into the whole, or into a view of it, counts."""
    return x.row_mask.full() if isinstance(x, LazyMask) else x


class RowMask(Mask):
    """A mask whose rows are built by a function.

    Args:
        build_rows: builds the rows of a slice of queries.
        queries: number of queries.
    """

    def __init__(self, build_rows: BuildRows, queries: int) -> None:
        self._build_rows = build_rows
        self._queries = queries
        self._full: Tensor | None = None
        self._intervals: Intervals | None = None
        self._scanned = False

    def build_rows(self, rows: slice) -> Tensor:
        """Rows of a slice of queries, `(batch, 1, rows, keys)` Boolean."""
        return self._build_rows(rows) if self._full is None else self._full[:, :, rows]

    def full(self) -> Tensor:
        """The whole mask, which from now on is what counts."""
        if self._full is None:
            # A broadcast mask shares its elements, which nobody could write to one by one.
            self._full = self._build_rows(slice(0, self._queries)).contiguous()
            self._scanned = False
        return self._full

    def tile(self, layout: AttentionLayout, rows: slice, columns: slice) -> Tensor:
        """Return the given rows and columns."""
        return self.build_rows(rows)[..., columns]

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        """Return the range of keys of each query, or `None` where some row has gaps.

        The rows are scanned once; later calls return that result, unless somebody may have written
        to them.
        """
        if not self._scanned or self._full is not None:
            self._intervals, self._scanned = self._scan(), True
        return self._intervals

    def _scan(self) -> Intervals | None:
        low, high = [], []
        for start in range(0, self._queries, _SCAN_ROWS):
            tile = self.build_rows(slice(start, min(start + _SCAN_ROWS, self._queries)))
            count = tile.sum(-1)
            first = tile.byte().argmax(-1)  # 0 for an empty row, whose range is then 0 to 0
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
    q_offset: int | Tensor = 0,
    kv_offset: int | Tensor = 0,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    device: torch.device | str = "cpu",
    **pattern: Any,
) -> LazyMask | None:
    """Make the mask that `transformers` makes for `sdpa`, to be built row by row.

    `dense` is `transformers.masking_utils.sdpa_mask`, which builds the rows. All other arguments are
    those of that function, in its terms; `pattern` holds the ones that are only passed on to it.

    Returns:
        The mask, or like `sdpa_mask` `None` where the flag `is_causal` says everything.
    """
    # A static cache gives its own counter, and moves it on before the rows are built.
    first_query, first_key = int(q_offset), int(kv_offset)
    unpadded = attention_mask is None or (
        attention_mask.shape[-1] >= kv_length + first_key and bool(attention_mask.all())
    )
    everywhere = unpadded and (local_size is None or kv_length < local_size)
    last_rows = q_length == 1 or q_length == kv_length
    if everywhere and (allow_is_bidirectional_skip or (allow_is_causal_skip and last_rows)):
        return None
    build = partial(
        dense,
        batch_size=batch_size,
        kv_length=kv_length,
        kv_offset=first_key,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        allow_is_bidirectional_skip=False,
        device=device,
        **pattern,
    )

    def build_rows(rows: slice) -> Tensor:
        mask = build(q_length=rows.stop - rows.start, q_offset=first_query + rows.start)
        assert mask is not None  # both kinds of skipping are switched off
        return mask

    shape = batch_size, 1, q_length, kv_length
    return LazyMask(build_rows, shape, torch.device(device), first_key, first_query)
