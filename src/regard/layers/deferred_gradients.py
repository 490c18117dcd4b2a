"""Matrix products of a loop over steps, with the gradient of each weight computed once, after the loop.

Autograd makes one gradient per step for a weight that every step uses, and adds them up: one small product
and one pass over the weight for each step. `DeferredMatmul` gives each step a placeholder instead; when
the backward pass has filled the gradients of all placeholders, one product with the inputs of all steps
makes the gradient of the weight. The numbers are the same up to the order of addition.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["DeferredMatmul", "Matmul", "PlainMatmul"]


@runtime_checkable
class Matmul(Protocol):
    """What a step multiplies with."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x @ weight.T + bias`, `x` `(..., inputs)`."""

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """`weights @ value`: `(batch, queries, keys)` and `(batch, keys, features)`."""


class PlainMatmul:
    """Each product by itself."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`F.linear`."""
        return F.linear(x, weight, bias)

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """A batched product."""
        return weights.to(value.dtype) @ value


class DeferredMatmul:
    """For one loop: every weight and value that is used, is used exactly once in each of the steps.

    Args:
        steps: of the loop.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._uses: dict[int, _Use] = {}

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """As `F.linear`."""
        flat = x.flatten(0, -2)
        use = self._uses.get(id(weight))
        if use is None:
            shape = (self._steps, len(flat), len(weight))
            inputs: list[Tensor] = []
            places: Tensor = _LinearPlaces.apply(  # type: ignore[no-untyped-call]
                weight, bias, inputs, shape, _dtype(weight)
            )
            use = self._uses[id(weight)] = _Use(
                weight, weight.detach().to(places.dtype).T, inputs, places
            )
        place = use.place(flat)
        return torch.addmm(place, flat.to(place.dtype), use.detached).view(*x.shape[:-1], -1)

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """As `weights @ value`."""
        use = self._uses.get(id(value))
        if use is None:
            shape = (self._steps, *weights.shape[:2], value.shape[-1])
            inputs: list[Tensor] = []
            places: Tensor = _MixPlaces.apply(  # type: ignore[no-untyped-call]
                value, inputs, shape, _dtype(value)
            )
            use = self._uses[id(value)] = _Use(
                value, value.detach().to(places.dtype), inputs, places
            )
        place = use.place(weights)
        return torch.baddbmm(place, weights.to(place.dtype), use.detached)


class _Use:
    """What one weight needs in the loop; `weight` is kept so that its id stays its own."""

    def __init__(
        self, weight: Tensor, detached: Tensor, inputs: list[Tensor], places: Tensor
    ) -> None:
        self.weight, self.detached, self._inputs = weight, detached, inputs
        self._places = iter(places.unbind(0))

    def place(self, x: Tensor) -> Tensor:
        """The place of this step, whose other factor is `x`."""
        self._inputs.append(x.detach())
        return next(self._places)


def _dtype(x: Tensor) -> torch.dtype:
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and x.dtype == torch.float32:
        return torch.get_autocast_dtype(kind)
    return x.dtype


class _LinearPlaces(torch.autograd.Function):
    """The bias at every step; backward, `dW = sum_t g_t^T x_t` and `db = sum_t g_t`."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        bias: Tensor | None,
        inputs: list[Tensor],
        shape: tuple[int, ...],
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.inputs, ctx.dtype, ctx.biased = inputs, weight.dtype, bias is not None
        if bias is None:
            return weight.new_zeros(shape, dtype=dtype)
        return bias.to(dtype).expand(shape).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.flatten(0, 1)
        x = torch.cat(ctx.inputs).to(gradient.dtype)
        bias = gradient.sum(0, dtype=ctx.dtype) if ctx.biased else None
        return (gradient.T @ x).to(ctx.dtype), bias, None, None, None


class _MixPlaces(torch.autograd.Function):
    """Zeros at every step; backward, `dV = sum_t w_t^T g_t`."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, inputs: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        ctx.inputs, ctx.dtype = inputs, value.dtype
        return value.new_zeros(shape, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights = torch.cat(ctx.inputs, 1).to(gradient.dtype)
        gradients = torch.cat(gradient.unbind(0), 1)
        return (weights.transpose(1, 2) @ gradients).to(ctx.dtype), None, None, None
