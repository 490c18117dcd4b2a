"""`2**x` and `tanh(x)` for float32 in compiled loops, in a form that LLVM vectorises."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from regard.compiled.intrinsics import bits_as_float, float_as_bits, round_to_even
from regard.compiled.jit import inlined

__all__ = [
    "MIN_EXPONENT",
    "NEGATIVE_INFINITY",
    "TANH_DENOMINATOR",
    "TANH_NUMERATOR",
    "TANH_SATURATION",
    "clamp_exponent",
    "exp2",
    "tanh",
]

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


TANH_SATURATION = np.float32(9.02)
"""Smallest argument at which tanh is 1 in float32."""

# tanh x = x A(x^2) / B(x^2), both 1 at 0, so that small arguments are exact: relative error 2.2e-8 (minimax
# by Lawson's weights), 6e-8 (root mean square) in float32.
TANH_NUMERATOR = (0.133826874, 0.00349745784, 2.06358250e-05, 1.33842943e-08)
"""Coefficients of `x^2`, `x^4`, `x^6` and `x^8` in A."""
TANH_DENOMINATOR = (0.467160087, 0.0258843616, 0.000328851761, 7.79025026e-07)
"""Coefficients of `x^2`, `x^4`, `x^6` and `x^8` in B."""
A1, A2, A3, A4 = (np.float32(x) for x in TANH_NUMERATOR)
B1, B2, B3, B4 = (np.float32(x) for x in TANH_DENOMINATOR)


@inlined
def tanh(x):
    """`tanh(x)`, without a branch, so that loops over it vectorise; a NaN stays."""
    # Negated comparisons, which are true for a NaN.
    x = x if not (x > TANH_SATURATION) else TANH_SATURATION
    x = x if not (x < -TANH_SATURATION) else -TANH_SATURATION
    y = x * x
    a = ONE + y * (A1 + y * (A2 + y * (A3 + y * A4)))
    b = ONE + y * (B1 + y * (B2 + y * (B3 + y * B4)))
    return x * a / b
