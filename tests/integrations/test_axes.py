"""Axes found again in views and copies, against positions that are carried along as numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.integrations.axes import AxisMap


def test_dimensions_of_views_of_a_tensor():
    x = torch.zeros(2, 3, 5, 7)
    axes = AxisMap.of(x)

    def axes_of(view: torch.Tensor) -> Any:
        return [None if p is None else [part.axis for part in p] for p in axes.of_view(view)]

    assert axes_of(x) == [[0], [1], [2], [3]]
    assert axes_of(x.permute(3, 1, 0, 2)) == [[3], [1], [0], [2]]
    assert axes_of(x.view(6, 5, 7)) == [[1, 0], [2], [3]]
    assert axes_of(x[:, 1]) == [[0], [2], [3]]
    assert axes_of(x[..., 1:6]) == [[0], [1], [2], [3]]
    assert axes_of(x[:, None].expand(2, 4, 3, 5, 7)) == [[0], [], [1], [2], [3]]
    assert axes_of(x.view(2, 3, 35).as_strided((2, 5), (105, 8)))[1] is None  # a diagonal


def test_starts_of_slices():
    x = torch.zeros(2, 3, 5, 7)
    assert AxisMap.of(x).starts_of(x[:, 1:, :, 4:]) == {1: 1, 3: 4}


@given(st.permutations(range(4)), st.integers(0, 2))
def test_copies_of_views_are_brought_back(order: list[int], joined: int) -> None:
    x = torch.arange(210.0).reshape(2, 3, 5, 7)
    moved = x.permute(order)
    copied = moved.clone(memory_format=torch.contiguous_format)
    axes = AxisMap.of(x).follow(moved, copied)
    assert axes is not None
    assert axes.count == 210
    assert torch.equal(axes.original(copied, 4), x)
    view = copied.flatten(joined, joined + 1)
    further = axes.follow(view, view + 1)
    assert further is not None
    assert torch.equal(further.original(view + 1, 4), x + 1)


def test_a_broadcast_copy_holds_fewer_elements_than_the_result():
    x, y = torch.zeros(2, 1, 5), torch.zeros(2, 4, 5)
    axes = AxisMap.of(x).follow(x, x + y)
    assert axes is not None
    assert axes.count == 10


@pytest.mark.parametrize("size", [1, 4])
def test_what_repeats_has_no_axis(size):
    x = torch.zeros(3, 1)
    assert AxisMap.of(x).of_dimension(size, 0) == ()
