"""Pieces of `regard.check`; the contracts themselves are tried on planted faults in `test_check`."""

from __future__ import annotations

import math

import numpy as np

from regard.attention.check_parts import difference


def test_difference_is_relative_to_large_numbers_and_infinite_for_nan():
    assert difference(np.array([1.0, 2.0]), np.array([1.0, 2.5])) == 0.5 / 2.5
    assert difference(np.array([0.25]), np.array([0.5])) == 0.25
    assert difference(np.array([-math.inf, 1.0]), np.array([-math.inf, 1.0])) == 0
    assert difference(np.array([math.nan]), np.array([1.0])) == math.inf
    assert difference(np.array([1.0, 2.0]), np.array([1.0])) == math.inf
    assert difference(np.zeros(0), np.zeros(0)) == 0
