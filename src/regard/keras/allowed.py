"""Which queries may attend to which keys, put together from Keras's kinds of masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regard.attention import masks
from regard.attention.masks import Mask
from regard.keras.backend import ops

__all__ = ["Allowed"]


@dataclass(frozen=True)
class Allowed:
    """The pairs of query and key that may attend.

    Attributes:
        keys: `(batch, keys)` Booleans, `True` for real keys.
        queries: `(batch, queries)` Booleans; padding queries attend to nothing.
        pairs: Booleans that broadcast to the shape of the weights.
        causal: query `i` may attend to key `j <= i`, both counted from the first, as Keras counts.
        window: query `i` may attend to keys with `|i - j| < window`, counted in this way too.
    """

    keys: Any = None
    queries: Any = None
    pairs: Any = None
    causal: bool = False
    window: int | None = None

    def as_mask(self, queries: int, keys: int) -> Mask | None:
        """A mask for `regard.attend`, which makes no matrix of causal masks and padding."""
        parts: list[Mask] = []
        if self.causal:
            parts.append(masks.causal(align="upper left"))
        if self.window is not None:
            parts.append(_window(self.window, queries, keys))
        if self.keys is not None:
            parts.append(masks.padding(self.keys, queries=self.queries))
        elif self.queries is not None:
            parts.append(masks.as_mask(self._expanded_queries()))
        if self.pairs is not None:
            parts.append(masks.as_mask(self.pairs))
        mask = parts[0] if parts else None
        for part in parts[1:]:
            assert mask is not None
            mask = mask & part
        return mask

    def as_array(self, shape: Any) -> Any:
        """Booleans that broadcast to `shape`, `(batch, ..., queries, keys)`; `None` where all may attend.

        Args:
            shape: of the weights, as `keras.ops.shape` gives it.
        """
        rank, parts = len(shape), []
        if self.keys is not None:
            parts.append(_expanded(self.keys, -2, rank))
        if self.queries is not None:
            parts.append(_expanded(self.queries, -1, rank))
        if self.pairs is not None:
            parts.append(self.pairs)
        if self.causal or self.window is not None:
            row = ops.arange(shape[-2], dtype="int32")[:, None]
            column = ops.arange(shape[-1], dtype="int32")[None, :]
            if self.causal:
                parts.append(column <= row)
            if self.window is not None:
                parts.append(ops.abs(row - column) < self.window)
        allowed = parts[0] if parts else None
        for part in parts[1:]:
            allowed = ops.logical_and(allowed, part)
        return allowed

    def _expanded_queries(self) -> Any:
        return _expanded(self.queries, -1, 3)


def _expanded(marks: Any, axis: int, rank: int) -> Any:
    """`(batch, length)` with an axis for the other side, and axes of 1 up to a number of axes."""
    marks = ops.expand_dims(marks, axis)
    while len(marks.shape) < rank:
        marks = ops.expand_dims(marks, 1)
    return marks


def _window(width: int, queries: int, keys: int) -> Mask:
    if queries == keys:
        return masks.window(width - 1)
    return masks.where(lambda b, h, i, j: ((i - j) < width) & ((j - i) < width))
