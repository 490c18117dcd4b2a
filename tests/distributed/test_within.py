"""Masks and biases of a whole matrix, seen from a block."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import regard
from regard.attention.layout import AttentionLayout
from regard.attention.masks import as_mask, mask_tile
from regard.attention.positions import bias_tile
from regard.distributed.within import (
    BiasWithin,
    MaskWithin,
    Placement,
    RangesWithin,
    slices_within,
)

QUERIES = (range(2, 5), range(9, 12))
ROWS = torch.tensor([2, 3, 4, 9, 10, 11])
KEYS = slice(4, 11)


@pytest.fixture
def whole() -> AttentionLayout:
    x = torch.zeros(2, 3, 12, 4)
    return AttentionLayout.of_inputs(x, x, x)[0]


@pytest.fixture
def block(whole: AttentionLayout) -> AttentionLayout:
    return replace(whole, queries=6, keys=7)


def test_rows_of_two_ranges() -> None:
    assert slices_within(QUERIES, slice(1, 5)) == [slice(3, 5), slice(9, 11)]
    assert slices_within(QUERIES, slice(3, 4)) == [slice(9, 10)]
    assert slices_within(QUERIES, slice(2, 2)) == []


@pytest.mark.parametrize(
    "mask",
    [
        ~regard.causal(),
        regard.masks.where(lambda b, h, i, j: (i + j + b) % 3 == 0),
        regard.padding(torch.arange(24).reshape(2, 12) % 5 < 3),  # one row for all queries
        torch.arange(144).reshape(12, 12) % 7 < 4,
    ],
)
def test_tiles_of_a_mask(mask: object, whole: AttentionLayout, block: AttentionLayout) -> None:
    mask = as_mask(mask)
    everything = slice(0, 12)
    dense = mask_tile(mask, whole, everything, everything).expand(2, 3, 12, 12)
    within = MaskWithin(mask, Placement(whole, QUERIES, KEYS.start))
    right = dense[:, :, ROWS, KEYS]
    for rows in (slice(0, 6), slice(1, 4), slice(3, 6)):
        found = mask_tile(within, block, rows, slice(1, 7)).expand(2, 3, rows.stop - rows.start, 6)
        assert found.equal(right[:, :, rows, 1:7])


def test_tiles_of_a_bias(whole: AttentionLayout, block: AttentionLayout) -> None:
    bias = regard.positions.ALiBi()
    everything = slice(0, 12)
    dense = bias_tile(bias, whole, everything, everything).expand(2, 3, 12, 12)
    within = BiasWithin(bias, Placement(whole, QUERIES, KEYS.start))
    found = bias_tile(within, block, slice(1, 5), slice(2, 6)).expand(2, 3, 4, 4)
    assert found.equal(dense[:, :, ROWS[1:5], 6:10])


def test_ranges(whole: AttentionLayout, block: AttentionLayout) -> None:
    low, high = (regard.causal() & regard.window(3)).intervals(whole) or (torch.empty(0),) * 2
    within = RangesWithin(low[:, :, ROWS], high[:, :, ROWS], KEYS.start)
    distance = ROWS[:, None] - torch.arange(4, 11)
    right = (distance >= 0) & (distance <= 3)
    assert within.tile(block, slice(0, 6), slice(0, 7))[0, 0].equal(right)
    assert math.prod(right.shape) > int(right.sum()) > 0
