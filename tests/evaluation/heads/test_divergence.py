"""Jensen-Shannon distances, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from regard.evaluation.heads.divergence import jensen_shannon_distance, pair_sums

RNG = np.random.default_rng(0)


def test_against_scipy() -> None:
    p, q = RNG.dirichlet(np.ones(7), 20), RNG.dirichlet(np.ones(7), 20)
    np.testing.assert_allclose(jensen_shannon_distance(p, q), jensenshannon(p, q, 2, axis=1))


def test_equal_and_disjoint() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
    assert jensen_shannon_distance(p, p) == 0
    assert jensen_shannon_distance(p, q) == 1


def test_worked_by_hand() -> None:
    """`(1, 0)` and `(1/2, 1/2)`: H(3/4, 1/4) - 1/2 bits."""
    divergence = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    found = jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    assert found == pytest.approx(np.sqrt(divergence))


def test_pairs_of_heads() -> None:
    first, second = RNG.dirichlet(np.ones(5), (2, 6)), RNG.dirichlet(np.ones(5), (3, 6))
    free = np.array([False, True, True, True, True, True])
    sums = pair_sums(first, second, free=free)
    assert sums.count == 5
    assert sums.distance.shape == (2, 3)
    expected = jensen_shannon_distance(first[1, 1:], second[2, 1:]).sum()
    assert sums.distance[1, 2] == pytest.approx(expected, rel=1e-12)
    same = (first[1, 1:].argmax(1) == second[2, 1:].argmax(1)).sum()
    assert sums.agreement[1, 2] == same
