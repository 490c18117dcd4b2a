"""`2**x` in compiled loops against NumPy's."""

from __future__ import annotations

import numpy as np

from regard.compiled.call import call_serial
from regard.compiled.jit import compiled
from regard.compiled.math import clamp_exponent, exp2


@compiled
def powers(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = exp2(clamp_exponent(x[i]))


def test_exp2_against_numpy() -> None:
    x = np.linspace(-126, 127, 100_003, dtype=np.float32)
    out = np.empty_like(x)
    call_serial(powers, x, out)
    exact = np.exp2(x.astype(np.float64))
    assert np.abs(out / exact - 1).max() < 2e-7


def test_exp2_at_its_ends() -> None:
    x = np.array([0, 1, -1, -127, -1e9, -np.inf, np.nan], np.float32)
    out = np.empty_like(x)
    call_serial(powers, x, out)
    assert out[:6].tolist() == [1, 2, 0.5, 0, 0, 0]
    assert np.isnan(out[6])
