"""A linear layer whose products take the fastest library of this processor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regard.layers.onednn import linear, pays, row_product

__all__ = ["Linear"]

ROWS_AT_A_TIME = 256
"""Rows of logits that are computed and then copied."""


class Linear(nn.Linear):
    """`torch.nn.Linear` by `layers.onednn`, which can also compute some of its outputs alone."""

    def forward(self, input: Tensor) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        return linear(input, self.weight, self.bias)

    def some(self, input: Tensor, outputs: slice) -> Tensor:
        """The outputs in a range: `(..., inputs)` to `(..., len(range))`."""
        bias = None if self.bias is None else self.bias[outputs]
        return linear(input, self.weight[outputs], bias)

    def row_product(self, outputs: slice = slice(None)) -> Callable[[Tensor], Tensor]:
        """The product of rows and some of the outputs, for many calls in `torch.inference_mode`.

        Returns:
            A function of `(rows, inputs)` on the processor, without the questions of `forward`.
        """
        bias = None if self.bias is None else self.bias.detach()[outputs]
        return row_product(self.weight.detach()[outputs], bias)

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
        if pays(input, weight):  # whose product takes no `out`: by parts that the cache holds
            for first in range(0, len(input), ROWS_AT_A_TIME):
                rows = slice(first, first + ROWS_AT_A_TIME)
                out[rows] = self.forward(input[rows])
            return out
        if self.bias is None:
            return torch.mm(input, weight.T, out=out)
        return torch.addmm(self.bias, input, weight.T, out=out)
