"""Rows of activations to int8 and back, around a product of integers.

A row `x` is stored as `q = round(x / s)` with `s = max |x| / 127`: whole numbers from -127 to 127, evenly
around zero. The product of such a row with a row of weights stored alike, `s q . t r`, is `s t` times a sum of
products of integers, which int32 holds without rounding.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regard.compiled.call import call_serial
from regard.compiled.intrinsics import (
    assume_contiguous,
    bits_as_float,
    float_as_bits,
    wide_vectors,
)
from regard.compiled.jit import compiled

__all__ = ["LARGEST", "quantize_rows", "rescale_rows"]

LARGEST = 127
"""Largest int8 in use; -128 has no partner and is left out."""

ONES_IN_LAST_BIT = np.float32(1.5 * 2**23)
"""A float32 whose neighbours are 1 apart; the half keeps the exponent where a negative number is added."""

WITHOUT_SIGN, INFINITY_BITS = np.int32(0x7FFFFFFF), np.int32(0x7F800000)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each row as int8 with a scale of its own.

    Args:
        x: `(rows, features)` in float32, on the processor.

    Returns:
        `(rows, features)` in int8 and the scales `(rows,)`; a scale is NaN where the row holds NaN or an
        infinity, and 0 for a row of zeros.
    """
    x = x.contiguous()
    quantized = torch.empty(x.shape, dtype=torch.int8)
    scale = torch.empty(len(x))
    call_serial(_quantize, x.numpy(), quantized.numpy(), scale.numpy())
    return quantized, scale


def rescale_rows(sums: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor) -> Tensor:
    """`sums[i, j] * row_scale[i] * column_scale[j] + bias[j]`, in the memory of the sums.

    Args:
        sums: `(rows, columns)` in int32, contiguous; its memory holds the result afterwards.
        row_scale: `(rows,)` in float32.
        column_scale: `(columns,)` in float32.
        bias: `(columns,)` in float32.

    Returns:
        `(rows, columns)` in float32.
    """
    call_serial(_rescale, sums.numpy(), row_scale.numpy(), column_scale.numpy(), bias.numpy())
    return sums.view(torch.float32)


@compiled
def _quantize(x, quantized, scale):
    wide_vectors()
    for i in range(x.shape[0]):
        row, out = assume_contiguous(x[i]), assume_contiguous(quantized[i])
        # Without their sign, floats have the order of their bits as integers, those of NaN above all: the
        # largest number is found in vectors, and NaN with it.
        top = np.int32(0)
        for j in range(row.size):
            top = max(top, np.int32(float_as_bits(row[j]) & WITHOUT_SIGN))
        known = np.int32(0) < top < INFINITY_BITS
        row_max = bits_as_float(top)
        factor = np.float32(LARGEST) / row_max if known else np.float32(0)
        for j in range(row.size):
            # In the sum the last bit is worth 1, so its low bits are the rounded number (of NaN, any bits).
            out[j] = np.int8(float_as_bits(row[j] * factor + ONES_IN_LAST_BIT))
        scale[i] = row_max / np.float32(LARGEST) if top < INFINITY_BITS else np.float32(np.nan)


@compiled
def _rescale(sums, row_scale, column_scale, bias):
    """Floats are written as the bits of integers: two views of one memory would forbid vectors."""
    wide_vectors()
    for i in range(sums.shape[0]):
        row = assume_contiguous(sums[i])
        for j in range(row.size):
            value = np.float32(row[j]) * (row_scale[i] * column_scale[j]) + bias[j]
            row[j] = float_as_bits(value)
