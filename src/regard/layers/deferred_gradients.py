"""Matrix products of a loop over steps, whose weight gradients are computed once, after the loop.

Autograd makes one gradient per step for a weight that every step uses, and adds them up: one small product
and one pass over the weight for each step. `DeferredMatmul` gives each step a placeholder instead, and lets
the step add its product to it, computed with the weight detached from autograd::

    forward    weight, bias --> placeholders  p_1    p_2    ...  p_T     (the bias, or zeros)
                                               |      |           |
               step t:  y_t = p_t + x_t @ weight.detach().T              (x_t is remembered)

    backward   gradient g_t of y_t passes on  to x_t, by the detached weight, at once
                                              to p_t, where it waits
               all p_t filled:  d weight = [g_1 .. g_T].T @ [x_1 .. x_T], d bias = sum of g_t

Autograd itself knows when all placeholders have their gradients: they are slices of one tensor, so its
backward function, which makes the gradient of the weight, runs once, after all steps. The numbers are
those of plain products up to the order of addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["DeferredMatmul", "Matmul", "PlainMatmul"]


@runtime_checkable
class Matmul(Protocol):
    """The matrix products of one step of a loop."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x @ weight.T + bias`.

        Args:
            x: `(..., inputs)`.
            weight: `(outputs, inputs)`.
            bias: `(outputs,)`; none unless given.

        Returns:
            `(..., outputs)`.
        """
        ...

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """`weights @ value`, batched: attention weights times values.

        Args:
            weights: `(batch, queries, keys)`.
            value: `(batch, keys, features)`.

        Returns:
            `(batch, queries, features)`.
        """
        ...


class PlainMatmul:
    """Products with autograd's own gradients."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`F.linear`."""
        return F.linear(x, weight, bias)

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """`weights @ value`, in the type of the values."""
        return weights.to(value.dtype) @ value


class DeferredMatmul:
    """Products of one loop, with one gradient product per weight after the loop.

    Every weight and value used in the loop must be used exactly once in each step: the number of
    placeholders is fixed at its first use.

    Args:
        steps: number of steps of the loop.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        # By identity, as tensors are compared by value. `_Operand` holds the tensor, so its id
        # cannot pass to another one while the loop runs.
        self._operands: dict[int, _Operand] = {}

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x @ weight.T + bias`."""
        flat = x.flatten(0, -2)
        operand = self._operands.get(id(weight))
        if operand is None:
            shape = (self._steps, len(flat), len(weight))
            inputs: list[Tensor] = []
            placeholders: Tensor = _LinearPlaceholders.apply(  # type: ignore[no-untyped-call]
                weight, bias, inputs, shape, _autocast_dtype(weight)
            )
            detached = weight.detach().to(placeholders.dtype).T
            operand = self._operands[id(weight)] = _Operand(weight, detached, inputs, placeholders)
        placeholder = operand.next_placeholder(flat)
        product = torch.addmm(placeholder, flat.to(placeholder.dtype), operand.detached)
        return product.view(*x.shape[:-1], -1)

    def bmm(self, weights: Tensor, value: Tensor) -> Tensor:
        """`weights @ value`, batched."""
        operand = self._operands.get(id(value))
        if operand is None:
            shape = (self._steps, *weights.shape[:2], value.shape[-1])
            inputs: list[Tensor] = []
            placeholders: Tensor = _BmmPlaceholders.apply(  # type: ignore[no-untyped-call]
                value, inputs, shape, _autocast_dtype(value)
            )
            detached = value.detach().to(placeholders.dtype)
            operand = self._operands[id(value)] = _Operand(value, detached, inputs, placeholders)
        placeholder = operand.next_placeholder(weights)
        return torch.baddbmm(placeholder, weights.to(placeholder.dtype), operand.detached)


class _Operand:
    """A weight or value of the loop, its placeholders, and the inputs it has met so far."""

    def __init__(
        self, tensor: Tensor, detached: Tensor, inputs: list[Tensor], placeholders: Tensor
    ) -> None:
        self.tensor, self.detached = tensor, detached
        self._inputs = inputs  # shared with the backward function of the placeholders
        self._placeholders: Iterator[Tensor] = iter(placeholders.unbind(0))

    def next_placeholder(self, x: Tensor) -> Tensor:
        """The placeholder of this step, whose input is `x`."""
        self._inputs.append(x.detach())
        return next(self._placeholders)


def _autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which autocast would multiply `x`; its own type outside autocast."""
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype == torch.float32:
        return torch.get_autocast_dtype(device)
    return x.dtype


class _LinearPlaceholders(torch.autograd.Function):
    """The bias (or zeros) for every step; backward, `dW = sum_t g_t^T x_t` and `db = sum_t g_t`."""

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
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradient = grad_outputs[0].flatten(0, 1)
        x = torch.cat(ctx.inputs).to(gradient.dtype)
        bias = gradient.sum(0, dtype=ctx.dtype) if ctx.biased else None
        return (gradient.T @ x).to(ctx.dtype), bias, None, None, None


class _BmmPlaceholders(torch.autograd.Function):
    """Zeros for every step; backward, `dV = sum_t w_t^T g_t`."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, inputs: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        ctx.inputs, ctx.dtype = inputs, value.dtype
        return value.new_zeros(shape, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        # Steps side by side along the queries: one batched product sums over all of them.
        weights = torch.cat(ctx.inputs, 1).to(grad_outputs[0].dtype)
        gradients = torch.cat(grad_outputs[0].unbind(0), 1)
        return (weights.transpose(1, 2) @ gradients).to(ctx.dtype), None, None, None
