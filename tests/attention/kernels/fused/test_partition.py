"""How the matrix is cut into tiles and parts of blocks."""

from __future__ import annotations

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


def test_ranges_of_keys_give_every_thread_as_much() -> None:
    assert make_backward_plan(9, 12, pairs=1, threads=4).key_ranges.tolist() == [0, 3, 6, 9, 12]
    assert make_backward_plan(9, 12, pairs=8, threads=4).key_ranges.tolist() == [0, 12]
    assert make_backward_plan(9, 2, pairs=1, threads=4).key_ranges.tolist() == [0, 1, 2]
