"""Gradients computed once after a loop against those computed at every step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.layers.deferred_gradients import DeferredMatmul, Matmul, PlainMatmul


def loop(matmul: Matmul, steps: int, *tensors: Tensor) -> Tensor:
    """A loop in which everything depends on everything before."""
    x, weight, bias, other, value = tensors
    context = torch.zeros_like(x)
    for _ in range(steps):
        x = torch.tanh(matmul.linear(x + context, weight, bias))
        scores = matmul.linear(x, other)
        context = matmul.bmm(scores[:, None].softmax(-1), value)[:, 0]
    return x * context


def tensors(dtype: torch.dtype) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    shapes = [(3, 5), (5, 5), (5,), (7, 5), (3, 7, 5)]
    return tuple(torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes)


@pytest.mark.parametrize("steps", [1, 4])
def test_deferred_against_plain(steps: int) -> None:
    given = tensors(torch.float64)
    deferred, plain = loop(DeferredMatmul(steps), steps, *given), loop(PlainMatmul(), steps, *given)
    torch.testing.assert_close(deferred, plain)
    weight = torch.randn_like(deferred)
    found = torch.autograd.grad((deferred * weight).sum(), given)
    expected = torch.autograd.grad((plain * weight).sum(), given)
    torch.testing.assert_close(found, expected)


def test_gradients() -> None:
    given = tensors(torch.float64)
    assert torch.autograd.gradcheck(
        lambda *t: loop(DeferredMatmul(3), 3, *t), given, fast_mode=True
    )


def test_a_weight_without_gradient_has_none() -> None:
    given = tensors(torch.float64)
    fixed = (given[0], given[1].detach(), *given[2:])
    loop(DeferredMatmul(3), 3, *fixed).sum().backward()
    assert fixed[1].grad is None
    assert all(t.grad is not None for t in (given[0], *given[2:]))


def test_autocast_computes_in_bfloat16_and_keeps_gradients_wide() -> None:
    given = tensors(torch.float32)
    exact = torch.autograd.grad(loop(PlainMatmul(), 3, *given).sum(), given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loop(DeferredMatmul(3), 3, *given)
    found = torch.autograd.grad(rough.float().sum(), given)
    for one, two in zip(found, exact, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two, atol=0.15, rtol=0.1)
