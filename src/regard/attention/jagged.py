"""Nested tensors of torch: sequences of several lengths, one behind the other in memory.

`attend` computes with four axes, so sequences are padded to the longest and a mask hides the padding; the
output becomes a nested tensor again. The map is that of the padded batch, whose padding has weight 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.attention.arrays import to_numpy
from regard.attention.masks import Mask, as_mask, padding
from regard.errors import InputError, ShapeError
from regard.shapes import Array

__all__ = ["Jagged", "is_nested", "pad_all"]


def is_nested(array: Any) -> bool:
    """Whether `array` is a nested tensor of torch."""
    return bool(getattr(array, "is_nested", False))


@dataclass(frozen=True, eq=False)
class Jagged:
    """Sequences of several lengths, and where they lie among the values.

    Attributes:
        padded: `(batch, length, features)` or `(batch, heads, length, features)`; zeros behind the end
            of a sequence.
        lengths: `(batch,)`, on the host.
        offsets: `(batch + 1,)`, where each sequence begins, and the end of the last one.
    """

    padded: Array
    lengths: np.ndarray
    offsets: Array

    @classmethod
    def of(cls, tensor: Array, name: str) -> Jagged:
        """The sequences of a nested tensor.

        Args:
            tensor: `(batch, length, features)` or `(batch, heads, length, features)`, of layout jagged.
            name: of the argument, for the error.

        Raises:
            InputError: another layout, or lengths that vary along another axis.
        """
        import torch

        if tensor.layout != torch.jagged:
            raise InputError(
                f"{name} is a nested tensor of layout {tensor.layout}; expected layout=torch.jagged, or a "
                "padded tensor with mask=regard.padding(lengths), or a packed one with "
                "mask=regard.documents(ids)"
            )
        axis = tensor._ragged_idx
        if tensor.ndim not in (3, 4) or axis != tensor.ndim - 2:
            raise InputError(
                f"{name} is a nested tensor of {tensor.ndim} axes whose axis {axis} varies in length; "
                "expected (batch, length, features) or (batch, heads, length, features) with varying "
                "length (heads come first: transpose(1, 2))"
            )
        values = tensor.values().movedim(axis - 1, 0)
        starts, ends = tensor.offsets()[:-1], tensor.offsets()[1:]
        offsets, lengths = tensor.offsets(), ends - starts
        if tensor.lengths() is not None:  # gaps between the sequences
            lengths = tensor.lengths()
            offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        on_host = to_numpy(lengths)
        position = torch.arange(int(on_host.max(initial=0)), device=values.device)
        real = position < lengths[:, None]
        padded = values[torch.where(real, starts[:, None] + position, 0)]
        padded = torch.where(real.view(*real.shape, *[1] * (values.ndim - 1)), padded, 0.0)
        return cls(padded if axis == 1 else padded.transpose(1, 2), on_host, offsets)

    def nest(self, padded: Array) -> Array:
        """A nested tensor of the sequences in `padded`, which are as long as these."""
        import torch

        with_heads = padded.ndim == 4
        if with_heads:
            padded = padded.transpose(1, 2)
        real = torch.from_numpy(np.arange(padded.shape[1]) < self.lengths[:, None])
        values = padded[real.to(padded.device)]
        nested = torch.nested.nested_tensor_from_jagged(values, offsets=self.offsets)
        return nested.transpose(1, 2) if with_heads else nested


def pad_all(
    query: Array, key: Array, value: Array, mask: Any, bias: Any
) -> tuple[tuple[Jagged, Array, Array], Mask]:
    """Nested query, key and value padded, and a mask that hides the padding.

    Args:
        query: nested, `(batch, queries, features)`, or with heads.
        key: nested, `(batch, keys, key_features)`, or with heads.
        value: nested, of the keys' lengths.
        mask: of the padded batch, `None` for all pairs.
        bias: of the padded batch, `None` for none.

    Returns:
        The query, which nests the output, key and value padded; and the mask.

    Raises:
        InputError: one of the three that is not nested; a mask or bias where queries and keys of an
            example differ in number, so that the padding would move them against each other.
        ShapeError: batches or lengths that do not fit.
    """
    given = {"query": query, "key": key, "value": value}
    plain = [name for name, tensor in given.items() if not is_nested(tensor)]
    if plain:
        raise InputError(
            f"{' and '.join(plain)} is no nested tensor, but others are; expected all three nested, or "
            "padded tensors with mask=regard.padding(lengths)"
        )
    queries, keys, values = (Jagged.of(tensor, name) for name, tensor in given.items())
    if not np.array_equal(keys.lengths, values.lengths):
        raise ShapeError(
            f"key has lengths {keys.lengths.tolist()}, value {values.lengths.tolist()}; each key needs a "
            "value"
        )
    if len(queries.lengths) != len(keys.lengths):
        raise ShapeError(f"query has a batch of {len(queries.lengths)}, key of {len(keys.lengths)}")
    hidden = padding(keys.lengths, queries=queries.lengths)
    if mask is None and bias is None:
        return (queries, keys.padded, values.padded), hidden
    if not np.array_equal(queries.lengths, keys.lengths):
        raise InputError(
            "mask or bias with nested queries and keys of several lengths each: where the padding ends, "
            "queries and keys would be aligned otherwise than in each example; pad them, and pass a mask "
            "of the padded batch & regard.padding(lengths)"
        )
    allowed = hidden if mask is None else hidden & as_mask(mask)
    return (queries, keys.padded, values.padded), allowed
