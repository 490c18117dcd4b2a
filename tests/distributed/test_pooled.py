"""Pooled blocks of a matrix that comes in tiles."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

import regard
from regard.distributed.pooled import PooledBlocks


@pytest.mark.parametrize("blocks", [(1, 1), (3, 4), (5, 19), (17, 2), (64, 64)])
def test_against_the_pool_of_the_whole_matrix(blocks: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.rand(2, 3, 17, 19, dtype=torch.float64)
    right = regard.AttentionMap.from_dense(matrix).pool(*blocks)
    pooled = PooledBlocks((2, 3), (17, 19), blocks, matrix.device)
    rows, columns = (0, 4, 5, 11, 17), (0, 1, 9, 19)
    for top, bottom in pairwise(rows):
        for left, end in pairwise(columns):
            pooled.add(matrix[:, :, top:bottom, left:end], top, left)
    mean, most = pooled.finish(lambda x: x, lambda x: x)
    torch.testing.assert_close(mean, right.mean, rtol=0, atol=1e-14)
    assert most.equal(right.max)


def test_a_row_of_nan_marks_its_blocks() -> None:
    pooled = PooledBlocks((1, 1), (6, 4), (3, 2), torch.device("cpu"))
    pooled.add(torch.full((1, 1, 6, 4), 0.25), 0, 0)
    nan = torch.zeros(1, 1, 3, dtype=torch.bool)
    nan[..., 1] = True
    pooled.add_nan(torch.tensor([1, 3, 5]), nan)
    mean, most = pooled.finish(lambda x: x, lambda x: x)
    right = [[0.25, 0.25], [math.nan, math.nan], [0.25, 0.25]]
    for found in (mean, most):
        torch.testing.assert_close(found[0, 0], torch.tensor(right).double(), equal_nan=True)
