"""Axes of weights that any code computed, arranged as `(batch, heads, queries, keys)`."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is not needed where JAX is watched
    from torch import Tensor

    from regard.integrations.softmax_trace import Followed

__all__ = ["Sizes", "arrange", "roles"]


@dataclass(frozen=True)
class Sizes:
    """What the running modules tell about the sizes of an attention.

    Attributes:
        heads: numbers of heads that the modules name, innermost first.
        batch: possible sizes of the batch, likeliest first.
    """

    heads: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()


def arrange(followed: Followed, sizes: Sizes) -> Tensor:
    """Arrange the weights of a softmax as `(batch, heads, queries, keys)`.

    The axis of the softmax is that of the keys. Axes that the values do not have are the queries; of the
    others the first is the batch and the rest are heads. One axis that holds both is split by the number
    of heads that the module names.
    """
    assert followed.found is not None  # reported together with its weights
    tensor, axes = followed.found
    weights = axes.original(tensor, len(followed.shape))
    rest = [axis for axis in range(weights.dim()) if axis != followed.axis]
    batch, heads, queries = roles(
        weights.shape, rest, followed.free, sorted(followed.shared), sizes
    )
    arranged = weights.permute([*batch, *heads, *queries, followed.axis])
    leading = prod(weights.shape[axis] for axis in batch)
    middle = prod(weights.shape[axis] for axis in heads)
    queries_count, keys = (
        prod(weights.shape[axis] for axis in queries),
        weights.shape[followed.axis],
    )
    if heads or not batch:
        return arranged.reshape(leading, middle, queries_count, keys)
    return _split(followed, arranged.reshape(leading, queries_count, keys), sizes)


def roles(
    shape: tuple[int, ...],
    rest: list[int],
    without_values: AbstractSet[int],
    with_values: Collection[int],
    sizes: Sizes,
) -> tuple[list[int], list[int], list[int]]:
    """Axes of the batch, of the heads and of the queries.

    Args:
        shape: of the weights.
        rest: all axes but that of the keys.
        without_values: axes that the values do not have.
        with_values: axes that the values have as well, in their order there if it is known.
        sizes: what is known about the sizes.
    """
    free = [axis for axis in rest if axis in without_values]
    if not free:  # all of size 1, or none
        single = [axis for axis in rest if axis not in with_values]
        free = single[-1:] if len(rest) > 1 else []
    others = [axis for axis in rest if axis not in free]
    if set(others) <= set(with_values):  # none is of size 1, which no one could tell
        others = [axis for axis in with_values if axis in others]
    if len(free) > 1 and len(others) <= 2:  # several query heads share a key head, or an image
        if others and prod(shape[axis] for axis in others[1:]) in sizes.heads:
            return others[:1], others[1:], free
        others, free = [*others, *free[:-1]], free[-1:]
    if len(others) > 2:
        for stop in range(2, len(others)):
            if prod(shape[axis] for axis in others[1:stop]) in sizes.heads:
                return others[:1], others[1:stop], [*others[stop:], *free]
    return others[:1], others[1:], free


def _split(followed: Followed, weights: Tensor, sizes: Sizes) -> Tensor:
    """Split a first axis that holds batch and heads."""
    both, queries, keys = weights.shape
    if followed.order is not None:
        first, second, heads_first = followed.order
        if first * second == both:
            split = weights.reshape(first, second, queries, keys)
            return split.transpose(0, 1) if heads_first else split
    possible = [heads for heads in sizes.heads if both % heads == 0]
    for heads in possible:
        if both // heads in sizes.batch:
            return weights.reshape(-1, heads, queries, keys)
    if both not in sizes.batch and possible:
        return weights.reshape(-1, possible[0], queries, keys)
    for batch in sizes.batch:
        if both % batch == 0:
            return weights.reshape(batch, -1, queries, keys)
    return weights.reshape(both, 1, queries, keys)
