"""NaN put back into statistics where a row of the matrix is NaN."""

from __future__ import annotations

import math

import numpy as np

from regard.attention.kernels.statistics import propagate_nan

ROWS = np.zeros((1, 2, 7), bool)
ROWS[0, 1, 4] = True


def test_a_statistic_of_a_row_is_nan_with_it() -> None:
    entropy = propagate_nan(("entropy",), np.ones((1, 2, 7)), ROWS)
    assert (np.isnan(entropy) == ROWS).all()
    output = propagate_nan(("output",), np.ones((1, 2, 7, 3)), ROWS)
    assert (np.isnan(output) == ROWS[..., None]).all()
    values, indices = propagate_nan(("topk", 2), (np.ones((1, 2, 7, 2)), np.arange(2)), ROWS)
    assert (np.isnan(values) == ROWS[..., None]).all()
    assert indices.tolist() == [0, 1]


def test_a_sum_over_queries_is_nan_in_the_whole_head() -> None:
    received = propagate_nan(("received",), np.ones((1, 2, 5)), ROWS)
    assert np.isnan(received).all(-1).tolist() == [[False, True]]


def test_a_block_is_nan_with_any_of_its_rows() -> None:
    # 7 queries in at most 3 blocks: 0 to 2, 3 to 5, 6.
    pooled = propagate_nan(("pool", 3, 2), (np.ones((1, 2, 3, 2)), np.ones((1, 2, 3, 2))), ROWS)
    for x in pooled:
        assert np.isnan(x).any(-1).tolist() == [[[False] * 3, [False, True, False]]]
        assert not math.isnan(x[0, 1, 2, 0])
