"""A residual connection and the layer norm behind it, in one pass over short rows."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from regard.compiled.call import call_serial
from regard.compiled.intrinsics import assume_contiguous, wide_vectors
from regard.compiled.jit import compiled

__all__ = ["add_layer_norm"]


def add_layer_norm(
    x: Tensor, y: Tensor | None, weight: Tensor, bias: Tensor, epsilon: float
) -> Tensor:
    """Add `y` to `x` in place, and return the layer norm of each row (Ba et al. 2016).

    Args:
        x: `(rows, features)` in float32, on the processor, contiguous; without gradients.
        y: like `x`; `None` adds nothing.
        weight: `(features,)`.
        bias: `(features,)`.
        epsilon: added to the variance.
    """
    out = torch.empty_like(x)
    added = x if y is None else y
    call_serial(
        _add_norm, x.numpy(), added.numpy(), y is not None,
        weight.numpy(), bias.numpy(), float(epsilon), out.numpy(),
    )  # fmt: skip
    return out


@compiled
def _add_norm(x, y, adds, weight, bias, epsilon, out):
    wide_vectors()
    for i in range(x.shape[0]):
        row, more, normed = (
            assume_contiguous(x[i]),
            assume_contiguous(y[i]),
            assume_contiguous(out[i]),
        )
        if adds:
            for j in range(row.size):
                row[j] += more[j]
        total = np.float32(0)
        for j in range(row.size):
            total += row[j]
        mean = total / np.float32(row.size)
        # In a second pass: the mean of squares less the square of the mean would lose what they share.
        squares = np.float32(0)
        for j in range(row.size):
            squares += (row[j] - mean) * (row[j] - mean)
        factor = np.float32(1 / math.sqrt(squares / row.size + epsilon))
        for j in range(row.size):
            normed[j] = (row[j] - mean) * factor * weight[j] + bias[j]
