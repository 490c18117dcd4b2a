"""A residual connection with its layer norm against torch in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import layer_norm

from regard.compiled.norm import add_layer_norm


@pytest.mark.parametrize("features", [5, 128])
@pytest.mark.parametrize("adds", [True, False])
def test_a_sum_and_its_norm(features: int, adds: bool) -> None:
    torch.manual_seed(0)
    # Far from zero: a variance by the mean of squares would lose all its digits.
    x, y = torch.randn(9, features) + 300, torch.randn(9, features)
    weight, bias = torch.randn(features), torch.randn(features)
    expected = x + y if adds else x.clone()
    found = add_layer_norm(x, y if adds else None, weight, bias, 1e-5)
    assert torch.equal(x, expected)
    exact = layer_norm(expected.double(), (features,), weight.double(), bias.double(), 1e-5)
    torch.testing.assert_close(found, exact.float(), rtol=1e-4, atol=1e-4)


def test_a_row_with_nan_is_nan_alone() -> None:
    x = torch.randn(3, 8)
    x[1, 2] = torch.nan
    found = add_layer_norm(x, None, torch.ones(8), torch.zeros(8), 1e-5)
    assert found.isnan().all(1).tolist() == found.isnan().any(1).tolist() == [False, True, False]
