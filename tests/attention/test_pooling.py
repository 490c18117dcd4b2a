"""Blocks of a matrix, by hand; test_map.py tests pooling of every library against the matrix."""

from __future__ import annotations

import numpy as np
import pytest

from regard.attention.layout import AttentionLayout
from regard.attention.pooling import block_lengths, block_size, pool_blocks
from regard.attention.problem import DenseMatrix


@pytest.mark.parametrize(
    ("length", "blocks", "expected"),
    [(7, 3, [3, 3, 1]), (8, 4, [2, 2, 2, 2]), (3, 5, [1, 1, 1]), (5, 1, [5]), (0, 4, [])],
)
def test_sizes_of_blocks(length, blocks, expected) -> None:
    assert block_lengths(length, block_size(length, blocks)).tolist() == expected


def test_mean_and_maximum_by_hand() -> None:
    matrix = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    source = DenseMatrix(*AttentionLayout.of_matrix(matrix))
    mean, maximum = pool_blocks(source, 2, 2)
    np.testing.assert_allclose(mean[0, 0], [[1.25 / 4, 0.75 / 2], [0.5, 0.0]])
    np.testing.assert_allclose(maximum[0, 0], [[0.5, 0.75], [1.0, 0.0]])
