"""Linear layers of int8 and bfloat16, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.choices import Precision
from regard.errors import SettingsError
from regard.layers.linear import Linear
from regard.layers.reduced import ReducedLinear, reduce_precision

REDUCED: list[Precision] = ["int8", "bfloat16"]


def _layer(bias: bool = True) -> Linear:
    torch.manual_seed(0)
    return Linear(64, 48, bias=bias)


def test_int8_by_hand() -> None:
    layer = Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.334]]))  # 127 and -33 hundredths
        layer.bias.fill_(0.5)
        found = ReducedLinear(layer, "int8")(torch.tensor([[2.54, 0.0], [0.0, -12.7]]))
    torch.testing.assert_close(found, torch.tensor([[2.54 * 1.27 + 0.5], [12.7 * 0.33 + 0.5]]))


@pytest.mark.parametrize(("precision", "error"), [("int8", 0.012), ("bfloat16", 0.005)])
@pytest.mark.parametrize("bias", [True, False])
def test_against_float64(precision: Precision, error: float, bias: bool) -> None:
    layer, x = _layer(bias), torch.randn(5, 41, 64)
    with torch.no_grad():
        exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0.0)
        found = ReducedLinear(layer, precision)(x)
    assert float((found - exact).norm() / exact.norm()) < error


@pytest.mark.parametrize("precision", REDUCED)
def test_some_outputs_and_a_buffer_hold_the_same(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    monkeypatch.setattr("regard.layers.reduced.SUMS_AT_A_TIME", 4 * 48)  # 4 rows at a time
    layer, x = ReducedLinear(_layer(), precision), torch.randn(11, 64)
    out = torch.empty(11, 48)
    with torch.no_grad():
        whole = layer(x)
        assert layer.into(x, out).data_ptr() == out.data_ptr()
        torch.testing.assert_close(out, whole, rtol=0, atol=0)
        torch.testing.assert_close(layer.into(x, None), whole, rtol=0, atol=0)
        torch.testing.assert_close(layer.some(x, slice(5, 40)), whole[:, 5:40], rtol=0, atol=0)
        assert layer(x[:0]).shape == (0, 48)


def test_a_row_of_int8_depends_on_itself_alone() -> None:
    layer, x = ReducedLinear(_layer(), "int8"), torch.randn(300, 64)
    x[1] *= 1e6
    with torch.no_grad():
        assert torch.equal(layer(x)[:1], layer(x[:1]))


@pytest.mark.parametrize("precision", REDUCED)
def test_nan_stays_in_its_row(precision: Precision) -> None:
    layer, x = ReducedLinear(_layer(), precision), torch.randn(3, 64)
    x[1, 9] = torch.nan
    with torch.no_grad():
        found = layer(x)
    assert found.isnan().all(-1).tolist() == [False, True, False]
    assert found[::2].isfinite().all()


@pytest.mark.parametrize("precision", REDUCED)
def test_gradients_are_of_float32(precision: Precision) -> None:
    layer, x = _layer(), torch.randn(4, 64, requires_grad=True)
    expected = torch.autograd.grad(layer(x).square().sum(), x)
    found = torch.autograd.grad(ReducedLinear(layer, precision)(x).square().sum(), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("precision", REDUCED)
def test_a_weight_that_changed_is_converted_anew(precision: Precision) -> None:
    layer, x = ReducedLinear(_layer(), precision), torch.randn(4, 64)
    with torch.no_grad():
        before = layer(x)
        layer.weight.mul_(2)
        torch.testing.assert_close(
            layer(x) - layer.bias, 2 * (before - layer.bias), rtol=0.01, atol=0.02
        )


class _Tied(nn.Module):
    """An embedding whose vectors are the weights of the output, and a layer too small to convert."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.layers = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 2)])
        self.output = Linear(32, 50, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.output(self.layers[0](self.embedding(ids)))
        return found


@pytest.mark.parametrize("precision", REDUCED)
def test_a_network_is_changed_and_its_weights_are_not(precision: Precision) -> None:
    network = _Tied()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert reduce_precision(network, precision) == 2
    assert type(network.layers[1]) is nn.Linear
    assert network.output.weight is network.embedding.weight
    torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)


def test_errors_and_float32() -> None:
    assert reduce_precision(nn.Sequential(nn.Linear(2, 2)), "float32") == 0
    with pytest.raises(SettingsError, match="no linear layer of at least 32"):
        reduce_precision(nn.Sequential(nn.Linear(64, 2)), "int8")
    with pytest.raises(SettingsError, match=r"no precision 'int4'.*int8"):
        reduce_precision(_Tied(), "int4")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="this model is on meta"):
        reduce_precision(_Tied().to("meta"), "int8")


@pytest.mark.parametrize("precision", REDUCED)
@torch.inference_mode()
def test_a_product_of_rows_is_that_of_the_layer(precision: Precision) -> None:
    with torch.inference_mode(False):
        layer = ReducedLinear(_layer(), precision)
    x = torch.randn(7, 64)
    assert torch.equal(layer.row_product()(x), layer(x))
    assert torch.equal(layer.row_product(slice(8, 40))(x), layer.some(x, slice(8, 40)))
