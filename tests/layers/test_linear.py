"""Linear layers without gradients, against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regard.layers import linear
from regard.layers.linear import Linear, inference_linear

BY_ONEDNN = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)


@BY_ONEDNN
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_against_float64(monkeypatch: pytest.MonkeyPatch, bias: bool) -> None:
    monkeypatch.setattr(linear, "prefers_onednn", lambda: True)
    torch.manual_seed(0)
    layer, x = Linear(64, 257, bias=bias), torch.randn(3, 31, 64)
    assert x.numel() * 257 >= linear.MIN_ONEDNN_PRODUCTS
    with torch.inference_mode():
        found = layer(x)
    expected = F.linear(
        x.double(), layer.weight.double(), layer.bias.double() if bias else None
    ).float()
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


@BY_ONEDNN
def test_gradients_and_other_types_stay_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "prefers_onednn", lambda: True)
    layer, x = Linear(64, 256), torch.randn(90, 64)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    with torch.inference_mode():
        assert inference_linear(x.double(), layer.weight.double()).dtype == torch.float64


@pytest.mark.parametrize("bias", [True, False])
def test_some_outputs_are_those_of_all(bias: bool) -> None:
    layer, x = Linear(6, 11, bias=bias), torch.randn(2, 5, 6)
    torch.testing.assert_close(layer.some(x, slice(3, 7)), layer(x)[..., 3:7])


@pytest.mark.parametrize("onednn", [pytest.param(True, marks=BY_ONEDNN), False])
@pytest.mark.parametrize("bias", [True, False])
def test_into_writes_to_the_buffer_if_it_fits(
    monkeypatch: pytest.MonkeyPatch, onednn: bool, bias: bool
) -> None:
    monkeypatch.setattr(linear, "prefers_onednn", lambda: onednn)
    monkeypatch.setattr(linear, "MIN_ONEDNN_PRODUCTS", 1)
    monkeypatch.setattr(linear, "ROWS_AT_A_TIME", 3)
    layer, x, out = Linear(3, 5, bias=bias), torch.randn(7, 3), torch.empty(7, 5)
    with torch.inference_mode():
        expected = nn.Linear.forward(layer, x)
        assert layer.into(x, out).data_ptr() == out.data_ptr()
        torch.testing.assert_close(out, expected)
        doubles = out.double()
        assert layer.into(x, doubles).data_ptr() != doubles.data_ptr()
        torch.testing.assert_close(layer.into(x, None), expected)
