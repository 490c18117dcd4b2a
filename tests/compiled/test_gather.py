"""Products with vectors that lie apart against NumPy's on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from regard.compiled.call import call_serial
from regard.compiled.gather import add_scaled_rows, dot_rows
from regard.compiled.jit import compiled


@compiled
def both(vector, rows, first, weights, dots, sums):  # type: ignore[no-untyped-def]
    dot_rows(vector, rows, first, first.size, dots)
    add_scaled_rows(weights, rows, first, first.size, sums)


@pytest.mark.parametrize("size", [1, 7, 16, 32, 53])
def test_dot_products_and_sums_of_vectors_that_lie_apart(size: int) -> None:
    random = np.random.default_rng(size)
    rows, vector = (random.standard_normal(n).astype(np.float32) for n in (500, size))
    first = random.integers(0, 500 - size, 11)
    weights = random.random(11, np.float32)
    dots, sums = np.empty(11, np.float32), np.empty(size, np.float32)
    call_serial(both, vector, rows, first, weights, dots, sums)
    read = np.stack([rows[i : i + size] for i in first]).astype(np.float64)
    np.testing.assert_allclose(dots, read @ vector, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums, weights @ read, rtol=1e-5, atol=1e-5)


def test_a_nan_reaches_its_own_results_alone() -> None:
    rows, vector = np.ones(40, np.float32), np.ones(20, np.float32)
    rows[3] = np.nan
    first, weights = np.array([0, 20]), np.ones(2, np.float32)
    dots, sums = np.empty(2, np.float32), np.empty(20, np.float32)
    call_serial(both, vector, rows, first, weights, dots, sums)
    assert np.isnan(dots).tolist() == [True, False]
    assert np.flatnonzero(np.isnan(sums)).tolist() == [3]
