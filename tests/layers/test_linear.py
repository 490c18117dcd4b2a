"""Linear layers, against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.layers import linear, onednn
from regard.layers.linear import Linear

BY_ONEDNN = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)


@pytest.mark.parametrize("bias", [True, False])
def test_some_outputs_are_those_of_all(bias: bool) -> None:
    layer, x = Linear(6, 11, bias=bias), torch.randn(2, 5, 6)
    torch.testing.assert_close(layer.some(x, slice(3, 7)), layer(x)[..., 3:7])


@pytest.mark.parametrize("by_onednn", [pytest.param(True, marks=BY_ONEDNN), False])
@pytest.mark.parametrize("bias", [True, False])
def test_into_writes_to_the_buffer_if_it_fits(
    monkeypatch: pytest.MonkeyPatch, by_onednn: bool, bias: bool
) -> None:
    monkeypatch.setattr(onednn, "prefers_onednn", lambda: by_onednn)
    monkeypatch.setattr(onednn, "MIN_PRODUCTS", 1)
    monkeypatch.setattr(linear, "ROWS_AT_A_TIME", 3)
    layer, x, out = Linear(3, 5, bias=bias), torch.randn(7, 3), torch.empty(7, 5)
    with torch.inference_mode():
        expected = nn.Linear.forward(layer, x)
        assert layer.into(x, out).data_ptr() == out.data_ptr()
        torch.testing.assert_close(out, expected)
        doubles = out.double()
        assert layer.into(x, doubles).data_ptr() != doubles.data_ptr()
        torch.testing.assert_close(layer.into(x, None), expected)


@pytest.mark.parametrize("by_onednn", [pytest.param(True, marks=BY_ONEDNN), False])
@pytest.mark.parametrize("rows", [3, 300])
def test_a_product_of_rows_is_that_of_the_layer(
    monkeypatch: pytest.MonkeyPatch, by_onednn: bool, rows: int
) -> None:
    monkeypatch.setattr(onednn, "prefers_onednn", lambda: by_onednn)
    layer, x = Linear(64, 96), torch.randn(rows, 64)
    with torch.inference_mode():
        assert torch.equal(layer.row_product()(x), layer(x))
        assert torch.equal(layer.row_product(slice(16, 80))(x), layer.some(x, slice(16, 80)))
