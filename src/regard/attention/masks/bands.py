"""Masks of keys near each query: causal, windows, and windows around a centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from regard.attention.arrays import accumulation_dtype, stop_gradient
from regard.attention.layout import AttentionLayout
from regard.attention.masks.base import IntervalMask, Intervals, Mask
from regard.errors import MaskError, nearest
from regard.shapes import Array

__all__ = ["Alignment", "causal", "is_causal", "local", "window"]

Alignment = Literal["lower right", "upper left"]
"""Where queries sit among keys: the last at the last key, or the first at the first."""


def causal(*, align: Alignment = "lower right") -> Mask:
    """Each query may attend to keys up to its own position.

    Args:
        align: `"lower right"`: the last query sits at the last key, so that a single query of a cached
            decoder may attend to all keys so far. `"upper left"`: the first query sits at the first key,
            as with `is_causal` in torch. The two differ where there are not as many queries as keys.

    Raises:
        MaskError: another alignment.
    """
    if align not in get_args(Alignment):
        raise MaskError(f"causal got align={align!r}; {nearest(str(align), get_args(Alignment))}")
    return _Band(before=None, after=0, align=align)


def window(before: int, after: int | None = None) -> Mask:
    """Each query may attend to its own position and a number of keys before and after it.

    Args:
        before: keys before (a Longformer window, Beltagy et al. 2020, has `2 * before + 1` keys).
        after: keys after; as many as before unless given. `window(n, 0)` is a causal window.

    Raises:
        MaskError: a negative width.
    """
    after = before if after is None else after
    for width in (before, after):
        if width < 0:
            raise MaskError(f"window got a width of {width}; expected 0 or more keys")
    return _Band(before, after)


def local(centres: Array, width: int) -> Mask:
    """Each query may attend to keys around its own centre (local attention, Luong et al. 2015).

    With `centres = t` this is local-m; local-p predicts the centres and adds `positions.Gaussian`.

    Args:
        centres: `(..., queries)` key positions; need not be integers.
        width: `D`; keys in `[centre - D, centre + D]` are allowed.

    Raises:
        MaskError: a negative width.
    """
    if width < 0:
        raise MaskError(f"local got a width of {width}; expected 0 or more keys")
    return _Local(centres, width)


def is_causal(mask: Mask) -> bool:
    """Whether a mask is `causal` in either alignment and nothing else, for kernels with a flag for it.

    The two alignments are one where there are as many queries as keys.
    """
    return type(mask) is _Band and mask.before is None and mask.after == 0


@dataclass(frozen=True)
class _Band(IntervalMask):
    """Keys from `before` behind (`None`: all) to `after` ahead of the query's position."""

    before: int | None
    after: int
    align: Alignment = "lower right"

    def intervals(self, layout: AttentionLayout) -> Intervals:
        position = layout.positions(slice(0, layout.queries))[None, None]
        if self.align == "lower right":
            position = position + layout.offset
        low = position * 0 if self.before is None else position - self.before
        return layout.clip_to_keys(low), layout.clip_to_keys(position + self.after + 1)


@dataclass(frozen=True, eq=False)
class _Local(IntervalMask):
    """Keys within `width` of each query's own centre."""

    centres: Any
    width: int

    def check(self, layout: AttentionLayout) -> None:
        shape = tuple(self.centres.shape)
        full = (*layout.leading_shape, layout.queries)
        if len(shape) > len(full) or any(
            n not in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False)
        ):
            raise MaskError(f"local got centres of shape {shape}; expected {full}")

    def intervals(self, layout: AttentionLayout) -> Intervals:
        xp = layout.xp
        centres = layout.align_per_query(stop_gradient(self.centres))
        # bfloat16 has no integers beyond 256, unsigned integers have none below 0.
        centres = xp.astype(centres, accumulation_dtype(xp, centres), copy=False)
        low, high = xp.ceil(centres - self.width), xp.floor(centres + self.width) + 1
        integer = layout.positions(slice(0, 0)).dtype
        low, high = (xp.astype(layout.clip_to_keys(end), integer) for end in (low, high))
        return low, high
