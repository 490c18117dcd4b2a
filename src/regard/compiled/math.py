"""`2**x` for float32 in compiled loops, in a form that LLVM vectorises."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import bits_as_float, float_as_bits, round_to_even
from regard.compiled.jit import inlined

__all__ = ["MIN_EXPONENT", "NEGATIVE_INFINITY", "clamp_exponent", "exp2"]

NEGATIVE_INFINITY = np.float32(-np.inf)
"""The score of a key that may not be seen."""

MIN_EXPONENT = np.float32(-127)
"""Smallest argument of `exp2`, where it is 0."""

ONE = np.float32(1)

# 2**f = 1 + f (C1 + f (C2 + ...)) on [-1/2, 1/2], least squares at Chebyshev nodes: relative error 2e-9.
C1, C2, C3 = np.float32(0.693147206), np.float32(0.240226485), np.float32(0.0555032904)
C4, C5, C6 = np.float32(0.00961837325), np.float32(0.00133998483), np.float32(0.000153707048)


@inlined
def clamp_exponent(x):
    """`max(x, -127)`, which keeps a NaN."""
    # Not `max`, whose answer for a NaN depends on the order of its arguments.
    return x if not (x < MIN_EXPONENT) else MIN_EXPONENT


@inlined
def exp2(x):
    """`2**x` for x in [-127, 127]; exactly 0 at -127, exactly 1 at 0."""
    # 2**x = 2**whole * 2**f: the polynomial gives 2**f in [0.7, 1.5], and adding `whole` to its exponent
    # bits multiplies by 2**whole. At -127 the bits come out as those of 0.
    whole = round_to_even(x)
    f = x - whole
    p = ONE + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return bits_as_float(float_as_bits(p) + (np.int32(whole) << np.int32(23)))
