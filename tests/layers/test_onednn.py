"""Products by oneDNN: against float64 and torch, and where torch's operators are taken."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from regard.attention.exporting import exporting
from regard.layers import onednn
from regard.layers.linear import Linear

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)


class Followed(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Sizes of the products of oneDNN, which is taken for every size and on every processor."""
    found: list[tuple[int, ...]] = []
    multiply = onednn._multiply

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found.append((*x.shape, len(weight)))
        return multiply(x, weight, bias)

    monkeypatch.setattr(onednn, "prefers_onednn", lambda: True)
    monkeypatch.setattr(onednn, "_multiply", counted)
    for name in ("MIN_PRODUCTS", "MIN_PART_PRODUCTS", "MIN_TRAINED_PRODUCTS"):
        monkeypatch.setattr(onednn, name, 1)
    torch.manual_seed(0)
    return found


def _gradients(
    function: Callable[..., Tensor], *tensors: Tensor, weights: Tensor
) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    output = function(*leaves)
    return output.detach(), *torch.autograd.grad(output, leaves, weights)


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).pow(2).mean().sqrt())


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(700, 64, 96), (37, 401, 389)])
def test_errors_of_output_and_gradients_are_no_larger_than_torchs(
    products: list[tuple[int, ...]], rows: int, inputs: int, outputs: int
) -> None:
    """Against float64. Sums of more than 192 terms are added up in parts of equal length."""
    x, weight, bias = (
        torch.randn(rows, inputs),
        torch.randn(outputs, inputs),
        torch.randn(outputs),
    )
    weights = torch.randn(rows, outputs)
    ours = _gradients(onednn.linear, x, weight, bias, weights=weights)
    assert len(products) == sum(-(-terms // 192) for terms in (rows, inputs, outputs))
    assert max(inner for _, inner, _ in products) <= 192
    theirs = _gradients(F.linear, x, weight, bias, weights=weights)
    doubles = (tensor.double() for tensor in (x, weight, bias))
    exact = _gradients(F.linear, *doubles, weights=weights.double())
    for found, other, expected in zip(ours, theirs, exact, strict=True):
        assert found.is_contiguous()
        assert _error(found, expected) <= 1.02 * _error(other, expected) + 1e-7


def test_one_run_without_gradients_in_inference_mode(products: list[tuple[int, ...]]) -> None:
    layer, x = Linear(300, 257), torch.randn(3, 31, 300)
    with torch.inference_mode():
        found = layer(x)
    assert len(products) == 1
    expected = F.linear(x.double(), layer.weight.double(), layer.bias.double()).float()
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


def test_large_outputs_by_parts_of_the_rows(
    monkeypatch: pytest.MonkeyPatch, products: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(onednn, "LARGE", 50)
    monkeypatch.setattr(onednn, "ROWS_AT_A_TIME", 4)
    x, weight, bias, weights = (torch.randn(n) for n in ((11, 3), (5, 3), (5,), (11, 5)))
    ours = _gradients(onednn.linear, x, weight, bias, weights=weights)
    assert [size[0] for size in products[:3]] == [4, 4, 3]
    theirs = _gradients(F.linear, x, weight, bias, weights=weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("biased", [True, False])
def test_operands_in_any_order_in_memory(biased: bool) -> None:
    """Transposed, cut out of a larger array, expanded; the gradient of a sum is expanded as well."""
    wide, bias = torch.randn(4, 40, 400), torch.randn(201) if biased else None
    for x in (
        wide[:, 3:33, 5:389:2],
        wide.transpose(0, 1)[..., :192],
        wide[:1, :1].expand(4, 9, 400),
    ):
        inputs = x.shape[-1]
        for weight in (torch.randn(inputs, 201).T, torch.randn(201, 2 * inputs)[:, ::2]):
            given = [x, weight] if bias is None else [x, weight, bias]
            ones = torch.ones(()).expand(*x.shape[:-1], 201)
            ours = _gradients(onednn.linear, *given, weights=ones)
            theirs = _gradients(F.linear, *given, weights=ones)
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_frozen_parameters_and_inputs_take_no_product(products: list[tuple[int, ...]]) -> None:
    layer, x = Linear(8, 16), torch.randn(5, 8)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert products == [(5, 8, 16)]
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


def test_second_derivatives_are_torchs() -> None:
    def penalty(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        torch.manual_seed(1)
        x, weight = torch.randn(6, 4).requires_grad_(), torch.randn(3, 4).requires_grad_()
        (slope,) = torch.autograd.grad(function(x, weight).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.pow(2).sum(), (x, weight))

    torch.testing.assert_close(penalty(onednn.linear), penalty(F.linear))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # by torch's forward mode
def test_functional_transforms_are_torchs(products: list[tuple[int, ...]]) -> None:
    x, weight = torch.randn(6, 4), torch.randn(3, 4)

    def loss(function: Callable[..., Tensor], x: Tensor) -> Tensor:
        return function(x, weight).tanh().sum()

    for transform in (
        torch.func.grad,
        lambda f: torch.func.vmap(torch.func.grad(f)),
    ):
        ours = transform(lambda x: loss(onednn.linear, x))(x)
        torch.testing.assert_close(ours, transform(lambda x: loss(F.linear, x))(x))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        tangent = torch.autograd.forward_ad.unpack_dual(onednn.linear(dual, weight)).tangent
    torch.testing.assert_close(tangent, x @ weight.T)
    del products[:]
    output = onednn.linear(x.requires_grad_(), weight)
    assert products
    rows = torch.eye(18).view(18, 6, 3)
    (batched,) = torch.autograd.grad(output, x, rows, is_grads_batched=True)
    torch.testing.assert_close(batched, rows @ weight)


def test_whoever_follows_operators_meets_torchs(products: list[tuple[int, ...]]) -> None:
    layer, x = Linear(8, 16), torch.randn(5, 8)
    with Followed() as mode:
        layer(x).sum().backward()
    assert "aten.addmm.default" in mode.names
    assert not any("mkldnn" in name for name in mode.names)
    graph = torch.fx.symbolic_trace(nn.Sequential(layer))
    torch.testing.assert_close(graph(x), layer(x))
    assert all(size == (5, 8, 16) for size in products)


def test_other_types_and_autocast_are_torchs(products: list[tuple[int, ...]]) -> None:
    layer, x = Linear(8, 16), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert copy.deepcopy(layer).double()(x.double()).dtype == torch.float64
    assert layer.to("meta")(x.to("meta")).shape == (5, 16)
    assert not products


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_have_the_gradients_of_others(
    products: list[tuple[int, ...]], reentrant: bool
) -> None:
    layers = nn.Sequential(Linear(8, 16), nn.Tanh(), Linear(16, 4))
    x = torch.randn(5, 8)

    def gradients(function: Callable[[Tensor], Tensor]) -> list[Tensor]:
        layers.zero_grad()
        function(x.clone().requires_grad_()).sum().backward()
        return [p.grad for p in layers.parameters() if p.grad is not None]

    wanted = gradients(layers)
    found = gradients(lambda x: checkpoint(layers, x, use_reentrant=reentrant))
    assert products
    assert len(found) == 4
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_shapes_that_do_not_fit_are_torchs_errors(products: list[tuple[int, ...]]) -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        onednn.linear(torch.randn(5, 7), torch.randn(16, 8))
    assert onednn.linear(torch.randn(5, 8), torch.randn(16, 8), torch.randn(1)).shape == (5, 16)
    assert onednn.linear(torch.randn(8), torch.randn(16, 8)).shape == (16,)
    assert products == [(1, 8, 16)]


def test_small_products_are_torchs(
    monkeypatch: pytest.MonkeyPatch, products: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(onednn, "MIN_TRAINED_PRODUCTS", 5 * 8 * 16)
    layer = Linear(8, 16)
    layer(torch.randn(4, 8)).sum().backward()
    assert not products
    layer(torch.randn(5, 8)).sum().backward()
    assert products


def test_a_graph_asks_for_no_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "prefers_onednn", lambda: True)
    x, weight = torch.ones(2048, 1024), torch.ones(1024, 1024)
    with torch.inference_mode():
        assert onednn.pays(x, weight)
        with exporting():
            assert not onednn.pays(x, weight)


def test_many_outputs_of_long_sums_are_torchs() -> None:
    assert onednn.pays(torch.randn(5, 192), torch.randn(2049, 192))
    assert onednn.pays(torch.randn(5, 193), torch.randn(2048, 193))
    assert not onednn.pays(torch.randn(5, 193), torch.randn(2049, 193))
