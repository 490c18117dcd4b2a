"""Extra key and value vectors behind those of the sequence, which every query may attend to.

A query that finds nothing of use can then put its weight there (`add_bias_kv` and `add_zero_attn` of
`nn.MultiheadAttention`). Masks and biases are of the keys of the sequence; here they get columns for the
extra ones, in which all is allowed and nothing added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import array_api_compat as compat
import torch
from torch import Tensor, nn

from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask, as_mask
from regard.attention.positions import Bias, as_bias
from regard.errors import InputError, nearest
from regard.shapes import Array, Bool, Float

__all__ = ["ExtraKey", "ExtraKeys", "bias_beside", "mask_beside"]

ExtraKey = Literal["learned", "zero"]
"""Kinds of extra keys: a learned key and value (`add_bias_kv`), or zeros (`add_zero_attn`)."""


class ExtraKeys(nn.Module):
    """Extra key and value vectors of an attention.

    Args:
        kinds: of each, in the order in which they follow the keys of the sequence.
        heads: of keys and values.
        features: of a key or value of one head.

    Raises:
        InputError: an unknown kind.
    """

    def __init__(self, kinds: Sequence[ExtraKey], heads: int, features: int) -> None:
        super().__init__()
        for kind in kinds:
            if kind not in get_args(ExtraKey):
                raise InputError(f"extra key {kind!r}; {nearest(str(kind), get_args(ExtraKey))}")
        self.kinds: tuple[ExtraKey, ...] = tuple(kinds)
        self.heads: int = heads
        learned = self.kinds.count("learned")
        self.key: nn.Parameter | None = None
        self.value: nn.Parameter | None = None
        if learned:
            self.key = nn.Parameter(torch.empty(learned, heads * features))
            self.value = nn.Parameter(torch.empty(learned, heads * features))
            nn.init.xavier_normal_(self.key)
            nn.init.xavier_normal_(self.value)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `(batch, heads, keys, features)` with the extra ones behind them."""
        return self._append(key, self.key), self._append(value, self.value)

    def _append(self, x: Tensor, learned: Tensor | None) -> Tensor:
        zero, number, parts = x.new_zeros(len(x), self.heads, 1, x.shape[-1]), 0, [x]
        for kind in self.kinds:
            if kind == "learned":
                assert learned is not None
                row = learned[number].view(1, self.heads, 1, -1).to(x.dtype)
                parts.append(row.expand_as(zero))
                number += 1
            else:
                parts.append(zero)
        return torch.cat(parts, 2)


def mask_beside(mask: Any, extra: int) -> Mask:
    """A mask of the sequence's keys as one of all keys."""
    return _MaskBeside(as_mask(mask), extra)


def bias_beside(bias: Any, extra: int) -> Bias:
    """A bias of the sequence's keys as one of all keys."""
    return _BiasBeside(as_bias(bias), extra)


@dataclass(frozen=True, eq=False)
class _MaskBeside(Mask):
    """A mask of all keys but the last `extra`, which every query may attend to."""

    mask: Mask
    extra: int

    @property
    def same_for_all_queries(self) -> bool:
        return self.mask.same_for_all_queries

    def check(self, layout: AttentionLayout) -> None:
        self.mask.check(_without(layout, self.extra))

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        inner, columns, more = _columns(layout, self.extra, columns)
        tile = self.mask.tile(inner, rows, columns)
        return _append(tile, columns, more, True)


@dataclass(frozen=True, eq=False)
class _BiasBeside(Bias):
    """A bias of all keys but the last `extra`, to whose scores nothing is added."""

    bias: Bias
    extra: int

    def check(self, layout: AttentionLayout) -> None:
        self.bias.check(_without(layout, self.extra))

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Float[Array, "batch heads rows columns"]:
        inner, columns, more = _columns(layout, self.extra, columns)
        tile = self.bias.tile(inner, rows, columns)
        return _append(tile, columns, more, 0.0)


def _without(layout: AttentionLayout, extra: int) -> AttentionLayout:
    return replace(layout, keys=layout.keys - extra)


def _columns(
    layout: AttentionLayout, extra: int, columns: slice
) -> tuple[AttentionLayout, slice, int]:
    """The layout without extra keys, its columns of a tile, and how many extra ones the tile has."""
    inner = _without(layout, extra)
    start, stop = min(columns.start, inner.keys), min(columns.stop, inner.keys)
    return inner, slice(start, stop), columns.stop - max(columns.start, inner.keys)


def _append(tile: Array, columns: slice, more: int, value: float) -> Array:
    """A tile, as wide as its columns, with further columns of one value."""
    xp = compat.array_namespace(tile)
    wide = xp.broadcast_to(tile, (*tile.shape[:3], columns.stop - columns.start))
    if more <= 0:
        return wide
    ones = xp.ones((*tile.shape[:3], more), dtype=tile.dtype, device=compat.device(tile))
    return xp.concat([wide, ones if value else xp.zeros_like(ones)], axis=3)
