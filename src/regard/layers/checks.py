"""Checks of what layers are given: each error names the argument, its shape and what was expected."""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np
import torch
from torch import Tensor

from regard.attention.arrays import accumulation_dtype
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask, as_mask
from regard.errors import InputError, MaskError, ShapeError

__all__ = ["as_tensor", "check_sequence", "key_mask", "layout_of"]


def check_sequence(name: str, x: Any, width: int, parameter: Any) -> None:
    """Check one batch of sequences, `(batch, length, width)`.

    Args:
        name: of the argument.
        x: the argument.
        width: features it must have.
        parameter: of the layer, whose type it must have; unless autocast is on, which converts.

    Raises:
        ShapeError: another number of axes or features.
        InputError: no tensor, a nested one, or one that does not hold floats of the layer's type.
    """
    if not isinstance(x, Tensor):
        raise InputError(f"{name} is a {type(x).__name__}; expected a torch tensor")
    if x.is_nested:
        raise InputError(
            f"{name} is a nested tensor; expected a padded one (pad it, and pass "
            "mask=regard.padding(lengths)), or a packed one with mask=regard.documents(ids)"
        )
    if x.ndim != 3 or x.shape[-1] != width:
        hint = f" (insert an axis for the batch: {name}[None])" if x.ndim == 2 else ""
        raise ShapeError(
            f"{name} has shape {tuple(x.shape)}; expected (batch, length, {width}){hint}"
        )
    dtype = getattr(parameter, "dtype", x.dtype)
    if x.dtype != dtype and not (x.is_floating_point() and _autocasts(x)):
        remedy = "call .to() on either" if x.is_floating_point() else "embed or convert it first"
        raise InputError(f"{name} holds {x.dtype}, the layer {dtype}; expected one type ({remedy})")


def key_mask(mask: Mask | Tensor | None, batch: int, keys: int, like: Tensor) -> Tensor:
    """The keys that all queries of an example may attend to, `(batch or 1, keys)` Booleans.

    Args:
        mask: such Booleans, a mask such as `regard.padding(lengths)`, or `None` for all keys.
        batch: examples.
        keys: of each.
        like: a tensor on the device of the attention.

    Raises:
        MaskError: another type or shape, or a mask that differs between queries.
    """
    if mask is None:
        return torch.ones(1, keys, dtype=torch.bool, device=like.device)
    mask = as_tensor(mask)
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        if mask.ndim != 2 or mask.shape[0] not in (1, batch) or mask.shape[1] != keys:
            raise MaskError(f"mask has shape {tuple(mask.shape)}; expected ({batch}, {keys})")
        return mask
    mask = as_mask(mask)
    layout = layout_of(batch, 1, 1, keys, like)
    mask.check(layout)
    if not mask.same_for_all_queries:
        raise MaskError(
            "mask may differ between queries; expected one of keys, such as regard.padding(lengths)"
        )
    tile: Tensor = mask.tile(layout, slice(0, 1), slice(0, keys))
    return tile[:, 0, 0]


def as_tensor(mask: Any) -> Any:
    """A NumPy array as a tensor, so that a layer takes the masks of both libraries."""
    return torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask


def layout_of(batch: int, heads: int, queries: int, keys: int, like: Tensor) -> AttentionLayout:
    """The layout of a matrix that a layer computes itself, on the device of `like`."""
    xp, dtype = compat.array_namespace(like), accumulation_dtype(torch, like)
    return AttentionLayout(batch, heads, queries, keys, 4, xp, like.device, dtype)


def _autocasts(x: Tensor) -> bool:
    return torch.is_autocast_enabled(x.device.type)
