"""How the matrix is cut into tiles and parts of blocks."""

from __future__ import annotations

import pytest

from regard.attention.kernels.fused.partition import (
    block_edges,
    make_backward_plan,
    make_forward_plan,
    split_edges,
)


def test_blocks_are_cut_where_they_begin_in_the_whole_matrix() -> None:
    assert split_edges(0, 200, 64, 64).tolist() == [0, 64, 128, 192, 200]
    assert split_edges(100, 400, 150, 80).tolist() == [0, 50, 125, 200, 250, 300]


def test_tiles_of_queries_hold_whole_parts() -> None:
    for block, masked, starts in (
        (100, True, [0, 200, 400, 600, 800, 1000]),
        (1000, True, [0, 250, 500, 750, 1000]),
        (1000, False, [0, 500, 1000]),
    ):
        plan = make_forward_plan(block_edges(0, 1000, 1000, block, 100), masked=masked)
        assert plan.row_tiles.tolist() == starts


@pytest.mark.parametrize(
    ("keys", "pairs", "ranges"),
    [
        (12, 1, 1),
        (511, 1, 1),
        (512, 1, 2),  # half a tile each, where one task would leave every other thread idle
        (600, 8, 1),
        (1024, 8, 2),
        (4096, 8, 4),
        (4096, 32, 1),
        (100_000, 1, 8),
    ],
)
def test_ranges_of_keys_follow_from_the_sizes(keys: int, pairs: int, ranges: int) -> None:
    edges = make_backward_plan(9, keys, pairs).key_ranges.tolist()
    assert len(edges) == ranges + 1
    assert (edges[0], edges[-1]) == (0, keys)
    assert edges == sorted(set(edges))
