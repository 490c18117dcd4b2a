"""Tensors inside tuples, lists, mappings and dataclasses, as modules take and return them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

__all__ = ["tensors_in"]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, in order, at any depth.

    >>> import torch
    >>> [tensor.ndim for tensor in tensors_in({"a": (torch.zeros(2), None), "b": [torch.tensor(1)]})]
    [1, 0]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from tensors_in(getattr(value, item.name))
