"""Axes of a tensor, found again in views and copies of it.

A softmax is computed along one axis, and its result is transposed, reshaped, sliced and copied before it is
multiplied with the values. A view shares the storage of its tensor, so its axes are found by arithmetic with
strides: nothing has to be noted when views are made. A copy has a storage of its own, for which `follow`
computes where the axes went.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, Self

from torch import Tensor

__all__ = ["AxisMap", "Part"]


class Part(NamedTuple):
    """Part of an axis: the positions `start + unit * i` for `i < size`, `stride` elements apart."""

    axis: int
    unit: int
    size: int
    stride: int


@dataclass(frozen=True)
class AxisMap:
    """Where the axes of an original tensor lie in a storage.

    Attributes:
        parts: parts of the original's axes, by ascending stride.
        offset: index in the storage of the first element.
        starts: first position along each axis that was sliced.
    """

    parts: tuple[Part, ...]
    offset: int = 0
    starts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        """The axes of a tensor itself."""
        parts = [
            Part(axis, 1, size, stride)
            for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
            if size > 1 and stride
        ]
        return cls(tuple(sorted(parts, key=lambda part: part.stride)), int(tensor.storage_offset()))

    def of_dimension(self, size: int, stride: int) -> tuple[Part, ...] | None:
        """Parts that one dimension of a view consists of, innermost first.

        Returns:
            No parts for a dimension of size 1 or one that repeats; `None` for one that cuts across the
            axes, such as a diagonal.
        """
        found: list[Part] = []
        if size == 1 or stride == 0:
            return ()
        for axis, unit, length, step in self.parts:
            if stride >= step * length:
                continue
            if stride < step or stride % step:
                return None
            every = stride // step
            if size <= -(-length // every):
                return (*found, Part(axis, unit * every, size, stride))
            if length % every or size % (length // every):
                return None
            found.append(Part(axis, unit * every, length // every, stride))
            size //= length // every
            stride = step * length
        return None

    def of_view(self, view: Tensor) -> list[tuple[Part, ...] | None]:
        """Parts of each dimension of a view."""
        return [
            self.of_dimension(size, stride)
            for size, stride in zip(view.shape, view.stride(), strict=True)
        ]

    def starts_of(self, view: Tensor) -> dict[int, int]:
        """First position along each axis that a view starts at."""
        starts, rest = dict(self.starts), int(view.storage_offset()) - self.offset
        for axis, unit, _, stride in reversed(self.parts):
            steps, rest = divmod(rest, stride)
            if steps:
                starts[axis] = starts.get(axis, 0) + steps * unit
        return starts

    def follow(self, view: Tensor, made: Tensor) -> AxisMap | None:
        """The axes in a tensor that was made element by element from a view.

        Args:
            view: a view on the storage of this map.
            made: the result, of the shape of `view` or one that it broadcasts to.

        Returns:
            The map of `made`, or `None` if `view` cuts across the axes.
        """
        parts: list[Part] = []
        for dimension, found in enumerate(reversed(self.of_view(view)), 1):
            if found is None:
                return None
            stride = made.stride(-dimension)
            for axis, unit, size, _ in found:
                parts.append(Part(axis, unit, size, stride))
                stride *= size
        parts.sort(key=lambda part: part.stride)
        return AxisMap(tuple(parts), int(made.storage_offset()), self.starts_of(view))

    def original(self, tensor: Tensor, rank: int) -> Tensor:
        """The tensor that has this map, with the `rank` axes of the original; a view where possible."""
        ordered = sorted(self.parts, key=lambda part: (part.axis, -part.unit))
        split = tensor.as_strided(
            [part.size for part in ordered], [part.stride for part in ordered], self.offset
        )
        return split.reshape([self.size(axis) for axis in range(rank)])

    def size(self, axis: int) -> int:
        """Number of positions along an axis of the original."""
        return prod(part.size for part in self.parts if part.axis == axis)

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(part.size for part in self.parts)
