"""Float32 products of linear layers, and their gradients, by oneDNN where that is faster than torch's choice.

On AMD processors with AVX-512, which MKL multiplies on at half their speed (`compiled.processor`). Whatever
looks at torch's operators, or transforms them (compiling, exporting, `torch.func`, `regard.watch`), finds
those of `F.linear`: there the products are torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import is_tracing
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode

from regard.attention.exporting import is_exporting
from regard.compiled.memory import empty_in_large_pages
from regard.compiled.processor import prefers_onednn

__all__ = ["linear", "pays", "row_product"]

MIN_PRODUCTS = 2**20
"""Multiplications from which on a product alone is faster: a call costs 12 microseconds, one of MKL 2."""

MIN_PART_PRODUCTS = 2**21
"""Multiplications of each part of a sum from which on adding up parts is faster than MKL."""

MIN_TRAINED_PRODUCTS = 2**22
"""Multiplications from which on a layer that learns is faster: its backward pass is called through Python."""

MAX_TERMS = 192
"""Products added up in one run, as MKL does. OneDNN adds up all, 4,096 with 2.2 times MKL's rounding error."""


MAX_SUMMED_OUTPUTS = 2048
"""Outputs beyond which parts of a sum leave the cache: a vocabulary behind 256 features is MKL's."""

LARGE = 2**22
"""Outputs from which on a matrix is written to large pages, by parts that the cache holds."""

ROWS_AT_A_TIME = 256

_KINDS = (Tensor, nn.Parameter)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` in the type of the arguments, by the fastest library of this processor.

    Both libraries compute float32. Sums that a model learns from, or is validated by, have MKL's rounding
    errors: they are added up in parts of at most 192 terms. In `torch.inference_mode`, in which answers are
    decoded, oneDNN adds all terms in one run.

    Args:
        x: `(..., inputs)`.
        weight: `(outputs, inputs)`.
        bias: `(outputs,)`; none unless given.
    """
    if not pays(x, weight, bias):
        return F.linear(x, weight, bias)
    if torch.is_inference_mode_enabled():
        return _multiply(x, weight.contiguous(), bias)
    rows = x.reshape(-1, x.shape[-1])
    found: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return found.view(*x.shape[:-1], len(weight))


def row_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """`linear` in `torch.inference_mode` for many calls whose arguments need no questions.

    Args:
        weight: `(outputs, inputs)` in float32, on the processor.
        bias: `(outputs,)`.

    Returns:
        A function of contiguous `(rows, inputs)`.
    """
    least = MIN_PRODUCTS / weight.numel() if prefers_onednn() else math.inf

    def product(x: Tensor) -> Tensor:
        return F.linear(x, weight, bias) if len(x) < least else _multiply(x, weight, bias)

    return product


def pays(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether `linear` multiplies by oneDNN."""
    # Neither a compiled function nor a graph can hold the questions below, which would fix their sizes.
    if torch.compiler.is_compiling() or is_exporting():
        return False
    if type(x) not in _KINDS or type(weight) not in _KINDS:  # such as a proxy, which has no size
        return False
    if x.shape[-1:] != weight.shape[1:] or not (bias is None or bias.shape == weight.shape[:1]):
        return False  # torch says what is wrong, or expands the bias
    size = x.numel() * len(weight)
    if size < MIN_PRODUCTS or not prefers_onednn():
        return False
    if not torch.is_inference_mode_enabled():
        summed = weight.shape[1] > MAX_TERMS and len(weight) > MAX_SUMMED_OUTPUTS
        if summed or size < MIN_TRAINED_PRODUCTS:
            return False
    return (
        _are_plain(x, weight, *(() if bias is None else (bias,)))
        and not torch.is_autocast_enabled("cpu")
        and torch.autograd.forward_ad._current_level < 0  # the function below has no forward mode
        and not is_tracing()  # type: ignore[no-untyped-call]
    )


def _are_plain(*tensors: Tensor) -> bool:
    """Whether these are float32 in a processor's memory, and nobody follows the operators on them."""
    from torch._C._functorch import is_functorch_wrapped_tensor

    return (
        all(
            type(tensor) in _KINDS
            and tensor.dtype == torch.float32
            and tensor.device.type == "cpu"
            and tensor.layout == torch.strided
            and not tensor.is_nested
            and not is_functorch_wrapped_tensor(tensor)
            for tensor in tensors
        )
        and not torch.compiler.is_compiling()
        and _get_current_dispatch_mode() is None
        and _get_current_function_mode() is None  # type: ignore[no-untyped-call]
    )


class _Linear(torch.autograd.Function):
    """`rows @ weight.T + bias`; backward `g @ weight`, `g.T @ rows` and the sum of `g`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        rows, weight = rows.contiguous(), weight.contiguous()
        if len(rows) * len(weight) < LARGE:
            return _multiply_in_parts(rows, weight, bias)
        found = empty_in_large_pages((len(rows), len(weight)))
        for first in range(0, len(rows), ROWS_AT_A_TIME):
            part = slice(first, first + ROWS_AT_A_TIME)
            found[part] = _multiply_in_parts(rows[part], weight, bias)
        return found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = grad_outputs
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        # A gradient of the gradient, or one for each of several outputs (vmap), is of torch's operators.
        multiply = _by_torch
        if not torch.is_grad_enabled() and _are_plain(gradient, rows, weight):
            multiply = _multiply_in_parts
            gradient, rows, weight = gradient.contiguous(), rows.contiguous(), weight.contiguous()
        return (
            multiply(gradient, weight.T) if of_rows else None,
            multiply(rows.T, gradient.T).T.contiguous() if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _by_torch(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.T


def _multiply_in_parts(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` for two matrices that lie in memory row by row, or column by column."""
    terms = x.shape[1]
    count = -(-terms // MAX_TERMS)
    if count == 1:
        return _multiply(x, weight, bias)
    if x.numel() * len(weight) < count * MIN_PART_PRODUCTS:
        return F.linear(x, weight, bias)
    size = -(-terms // count)
    total: Tensor | None = None
    for first in range(0, terms, size):
        columns = slice(first, first + size)
        part = weight[:, columns]
        # With both operands cut out of longer rows, oneDNN takes a reference loop, a thousand times slower.
        part = part if part.T.is_contiguous() else part.contiguous()
        if total is None:
            total = _multiply(x[:, columns], part, bias)
        else:
            total += _multiply(x[:, columns], part, None)
    assert total is not None
    return total


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return found
