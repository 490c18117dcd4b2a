"""Which axes of some weights are batch, heads and queries."""

from __future__ import annotations

import pytest
import torch

from regard.integrations.arranging import Sizes, arrange, roles
from regard.integrations.axes import AxisMap
from regard.integrations.softmax_trace import Followed


@pytest.mark.parametrize(
    ("shape", "free", "shared", "heads", "expected"),
    [
        ((2, 4, 5, 7), {2}, {0, 1}, (4,), ([0], [1], [2])),  # batch, heads, queries, keys
        ((8, 5, 7), {1}, {0}, (4,), ([0], [], [1])),  # batch and heads in one axis
        ((2, 5, 4, 7), {1}, {0, 2}, (4,), ([0], [2], [1])),  # heads behind the queries
        ((2, 3, 4, 5, 7), {3}, {0, 1, 2}, (12,), ([0], [1, 2], [3])),  # heads in two axes
        (
            (2, 3, 2, 5, 7),
            {2, 3},
            {0, 1},
            (3,),
            ([0], [1], [2, 3]),
        ),  # an image's two axes of queries
        ((5, 7), {0}, set(), (), ([], [], [0])),
    ],
)
def test_roles(
    shape: tuple[int, ...],
    free: set[int],
    shared: set[int],
    heads: tuple[int, ...],
    expected: tuple[list[int], list[int], list[int]],
) -> None:
    rest = list(range(len(shape) - 1))
    assert roles(shape, rest, free, sorted(shared), Sizes(heads)) == expected


def followed(weights: torch.Tensor, free: set[int], shared: set[int]) -> Followed:
    found = Followed(tuple(weights.shape), weights.dim() - 1, False, True, free, shared)
    found.found = weights, AxisMap.of(weights)
    return found


def test_heads_behind_the_queries_are_brought_in_front() -> None:
    weights = torch.arange(2 * 5 * 4 * 7.0).reshape(2, 5, 4, 7)
    arranged = arrange(followed(weights, {1}, {0, 2}), Sizes((4,)))
    assert arranged.shape == (2, 4, 5, 7)
    assert torch.equal(arranged[1, 2], weights[1, :, 2])


@pytest.mark.parametrize(
    ("sizes", "order", "shape"),
    [
        (Sizes((4,), (2,)), None, (2, 4, 5, 7)),
        (Sizes((4, 2), (4,)), None, (4, 2, 5, 7)),  # the batch says which of two
        (Sizes((), (8,)), None, (8, 1, 5, 7)),
        (Sizes((), (2,)), None, (2, 4, 5, 7)),
        (Sizes(), None, (8, 1, 5, 7)),
        (Sizes((2,), (4,)), (2, 4, False), (2, 4, 5, 7)),  # the values' own order goes first
    ],
)
def test_one_axis_of_batch_and_heads_is_split(
    sizes: Sizes, order: tuple[int, int, bool] | None, shape: tuple[int, ...]
) -> None:
    weights = torch.arange(8 * 5 * 7.0).reshape(8, 5, 7)
    traced = followed(weights, {1}, {0})
    traced.order = order
    arranged = arrange(traced, sizes)
    assert arranged.shape == shape
    assert torch.equal(arranged.reshape(8, 5, 7), weights)


def test_heads_in_front_of_the_batch_are_put_behind_it() -> None:
    weights = torch.arange(8 * 5 * 7.0).reshape(8, 5, 7)
    traced = followed(weights, {1}, {0})
    traced.order = (4, 2, True)
    arranged = arrange(traced, Sizes((4,), (2,)))
    assert arranged.shape == (2, 4, 5, 7)
    assert torch.equal(arranged[1, 3], weights[3 * 2 + 1])
