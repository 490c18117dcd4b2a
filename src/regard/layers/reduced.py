"""Linear layers whose products are of int8 or bfloat16 while a model answers.

Weights are converted once, activations at each product. Everything between the products (norms, attention,
softmax) stays in float32, and so do the attention maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.choices import Precision
from regard.errors import SettingsError, nearest
from regard.layers.linear import Linear

__all__ = ["ReducedLinear", "reduce_precision"]

MIN_FEATURES = 32
"""Inputs and outputs from which on a layer is worth converting: smaller ones take no time."""

SUMS_AT_A_TIME = 2**20
"""Sums of a product that are rescaled while they are still in the cache: 131 rows of 8,000."""


class StoredWeight(Protocol):
    """A weight `(outputs, inputs)` and a bias in some precision."""

    def some(self, outputs: slice) -> Self:
        """The part for some of the outputs; shares memory."""
        ...

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """`x @ weight.T + bias` of `(rows, inputs)` in float32, in the memory of `out` if it is given."""
        ...


@dataclass(frozen=True)
class Int8Weight:
    """Each output's weights as whole numbers from -127 to 127 with a scale (per channel, symmetric).

    Attributes:
        values: `(outputs, inputs)` int8.
        scale: `(outputs,)`.
        bias: `(outputs,)`; zeros for a layer without one.
    """

    values: Tensor
    scale: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Int8Weight:
        """Quantise a weight."""
        from regard.compiled.int8 import quantize_rows  # Numba is slow to import

        values, scale = quantize_rows(weight)
        return cls(values, scale, torch.zeros_like(scale) if bias is None else bias)

    def some(self, outputs: slice) -> Int8Weight:
        """The part for some of the outputs; shares memory."""
        return Int8Weight(self.values[outputs], self.scale[outputs], self.bias[outputs])

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Product of integers, with a scale for each row of `x` (dynamic) and each output.

        A row's result depends on that row alone, whatever stands beside it.
        """
        from regard.compiled.int8 import quantize_rows, rescale_rows

        quantized, scale = quantize_rows(x)
        if out is None:
            out = x.new_empty(len(x), len(self.values))
        sums, weight = out.view(torch.int32), self.values.T
        count = max(1, SUMS_AT_A_TIME // len(self.values))
        for first in range(0, len(x), count):
            rows = slice(first, first + count)
            torch._int_mm(  # pyright: ignore[reportPrivateImportUsage]
                quantized[rows], weight, out=sums[rows]
            )
            rescale_rows(sums[rows], scale[rows], self.scale, self.bias)
        return out


@dataclass(frozen=True)
class BFloat16Weight:
    """Weights and bias in bfloat16: the exponent of float32 with 8 bits of precision.

    Attributes:
        values: `(outputs, inputs)`.
        bias: `(outputs,)`, or `None`.
    """

    values: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> BFloat16Weight:
        """Round a weight."""
        return cls(weight.bfloat16(), None if bias is None else bias.bfloat16())

    def some(self, outputs: slice) -> BFloat16Weight:
        """The part for some of the outputs; shares memory."""
        return BFloat16Weight(
            self.values[outputs], None if self.bias is None else self.bias[outputs]
        )

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Product in bfloat16, summed in float32 and rounded once."""
        found = F.linear(x.bfloat16(), self.values, self.bias)
        return found.float() if out is None else out.copy_(found)


class ReducedLinear(Linear):
    """A linear layer that answers in another precision than it is trained in.

    It shares weight and bias with the layer it stands for, in float32, so that what is saved stays as it
    was; with gradients it computes in float32, too.

    Args:
        layer: what it stands for.
        precision: of the products without gradients.
    """

    def __init__(self, layer: nn.Linear, precision: Precision) -> None:
        nn.Module.__init__(self)
        self.in_features: int = layer.in_features
        self.out_features: int = layer.out_features
        self._parameters.update(layer._parameters)
        self.precision: Precision = precision
        self.training: bool = layer.training
        self._stored: StoredWeight | None = None
        self._stored_from: tuple[int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        if torch.is_grad_enabled():
            return super().forward(input)
        return _of_rows(self._weight(), input)

    def some(self, input: Tensor, outputs: slice) -> Tensor:
        """The outputs in a range: `(..., inputs)` to `(..., len(range))`."""
        if torch.is_grad_enabled():
            return super().some(input, outputs)
        return _of_rows(self._weight().some(outputs), input)

    def row_product(self, outputs: slice = slice(None)) -> Callable[[Tensor], Tensor]:
        """The product of rows in float32 and some of the outputs, for many calls without gradients."""
        return self._weight().some(outputs).product

    def into(self, input: Tensor, out: Tensor | None) -> Tensor:
        """`forward` of `(rows, inputs)`, in the memory of `out` if it is given; not for training."""
        fits = out is not None and out.dtype == torch.float32
        return self._weight().product(input.float(), out if fits else None)

    def _weight(self) -> StoredWeight:
        """The weight in its precision: converted at the first product, and anew where the float32 changed."""
        source = self.weight.data_ptr(), self.weight._version
        if self._stored is None or self._stored_from != source:
            kind = Int8Weight if self.precision == "int8" else BFloat16Weight
            bias = None if self.bias is None else self.bias.detach().float()
            self._stored = kind.of(self.weight.detach().float(), bias)
            self._stored_from = source
        return self._stored


def _of_rows(weight: StoredWeight, x: Tensor) -> Tensor:
    """The product of `(..., inputs)`, in the type of `x`."""
    found = weight.product(x.reshape(-1, x.shape[-1]).float())
    return found.view(*x.shape[:-1], found.shape[1]).to(x.dtype)


def reduce_precision(network: nn.Module, precision: Precision) -> int:
    """Let the linear layers of a network answer in a precision, in place.

    Layers with fewer than 32 inputs or outputs, embeddings, recurrent cells and attention itself stay in
    float32.

    Args:
        network: on the processor.
        precision: `"float32"` changes nothing.

    Returns:
        Number of layers that were changed.

    Raises:
        SettingsError: an unknown precision; a network on another device, or without such a layer.
    """
    if precision not in get_args(Precision):
        raise SettingsError(
            f"no precision {precision!r}; {nearest(precision, get_args(Precision))}"
        )
    if precision == "float32":
        return 0
    devices = {parameter.device.type for parameter in network.parameters()} - {"cpu"}
    if devices:
        raise SettingsError(
            f"precision={precision} is of products on a processor, and this model is on {min(devices)}; "
            "move it to the CPU, or leave precision out"
        )
    changed = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and _is_convertible(child):
                setattr(parent, name, ReducedLinear(child, precision))
                changed += 1
    if not changed:
        raise SettingsError(
            f"precision={precision} would change nothing: this model has no linear layer of at least "
            f"{MIN_FEATURES} inputs and outputs; leave precision out"
        )
    return changed


def _is_convertible(layer: nn.Linear) -> bool:
    # Subclasses of others (of peft, say) compute more than a product.
    plain = type(layer) in (nn.Linear, Linear)
    return plain and min(layer.in_features, layer.out_features) >= MIN_FEATURES
