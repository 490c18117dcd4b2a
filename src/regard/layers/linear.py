"""A linear layer whose products without gradients take the fastest library of this processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.compiled.processor import prefers_onednn

__all__ = ["Linear", "inference_linear"]

MIN_ONEDNN_PRODUCTS = 2**20
"""Multiplications of a product from which on oneDNN is faster: a call costs 12 microseconds, one of MKL 2."""

ROWS_AT_A_TIME = 256
"""Rows of logits that are computed and then copied."""


def inference_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` in the type of the arguments, by oneDNN where that is faster than torch's choice.

    Only in `torch.inference_mode`, in which answers are decoded: the operator has no gradient, and whoever
    follows operators by name (`regard.watch`, export) meets those of torch. Both compute float32.

    Args:
        x: `(..., inputs)`.
        weight: `(outputs, inputs)`.
        bias: `(outputs,)`; none unless given.
    """
    if _by_onednn(x, weight):
        found: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
        return found
    return F.linear(x, weight, bias)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()  # which cannot trace the questions below, and has its own products
        and torch.is_inference_mode_enabled()
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() * len(weight) >= MIN_ONEDNN_PRODUCTS
        and prefers_onednn()
        and not torch.is_autocast_enabled("cpu")
    )


class Linear(nn.Linear):
    """`torch.nn.Linear` by `inference_linear`, which can also compute some of its outputs alone."""

    def forward(self, input: Tensor) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        return inference_linear(input, self.weight, self.bias)

    def some(self, input: Tensor, outputs: slice) -> Tensor:
        """The outputs in a range: `(..., inputs)` to `(..., len(range))`."""
        bias = None if self.bias is None else self.bias[outputs]
        return inference_linear(input, self.weight[outputs], bias)

    def into(self, input: Tensor, out: Tensor | None) -> Tensor:
        """`forward` of `(rows, inputs)`, in the memory of `out` if that saves time; not for training.

        A decoding step writes so many logits that allocating memory for them takes longer than computing
        them.

        Args:
            input: `(rows, inputs)`.
            out: `(rows, outputs)`; ignored if it is `None` or of another type than the input and the weights.
        """
        weight = self.weight
        if out is None or not out.dtype == input.dtype == weight.dtype:
            return self.forward(input)
        if _by_onednn(input, weight):  # whose product takes no `out`: by parts that the cache holds
            for first in range(0, len(input), ROWS_AT_A_TIME):
                rows = slice(first, first + ROWS_AT_A_TIME)
                out[rows] = self.forward(input[rows])
            return out
        if self.bias is None:
            return torch.mm(input, weight.T, out=out)
        return torch.addmm(self.bias, input, weight.T, out=out)
