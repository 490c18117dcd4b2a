"""Rows to int8 and back, by hand and against float64."""

from __future__ import annotations

import pytest
import torch

from regard.compiled.int8 import quantize_rows, rescale_rows


def test_rows_by_hand() -> None:
    x = torch.tensor([[1.27, -0.5, 0.016, 0.0], [0.0, 0.0, 0.0, 0.0], [254.0, 3.0, -5.0, -254.0]])
    values, scale = quantize_rows(x)
    # 3 / 2 and -5 / 2 lie half way between whole numbers, and go to the even one.
    assert values.tolist() == [[127, -50, 2, 0], [0, 0, 0, 0], [127, 2, -2, -127]]
    torch.testing.assert_close(scale, torch.tensor([0.01, 0.0, 2.0]))


@pytest.mark.parametrize("features", [1, 7, 131])
def test_no_element_moves_by_more_than_half_a_step(features: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(37, features) * torch.logspace(-30, 30, 37)[:, None]
    values, scale = quantize_rows(x)
    moved = (values.double() * scale[:, None].double() - x.double()).abs()
    assert bool((moved <= (0.5 + 1e-4) * scale[:, None].double()).all())
    assert values.abs().amax() == 127


@pytest.mark.parametrize("unusable", [torch.nan, torch.inf, -torch.inf])
def test_a_row_with_nan_or_infinity_says_so(unusable: float) -> None:
    x = torch.ones(3, 40)
    x[1, 17] = unusable
    assert quantize_rows(x)[1].isnan().tolist() == [False, True, False]


def test_sums_become_floats_in_their_own_memory() -> None:
    sums = torch.tensor([[10, -3], [2**24, 7]], dtype=torch.int32)
    rows, columns, bias = (
        torch.tensor([0.5, 2.0]),
        torch.tensor([1.0, 4.0]),
        torch.tensor([0.0, 1.0]),
    )
    found = rescale_rows(sums, rows, columns, bias)
    assert found.tolist() == [[5.0, -5.0], [2.0**25, 57.0]]
    assert found.data_ptr() == sums.data_ptr()
