"""Two to four axes become four in one place, and four become the user's again."""

from __future__ import annotations

import numpy as np
import pytest

from regard.attention.layout import AttentionLayout
from regard.errors import ShapeError

LEADING: dict[int, tuple[int, ...]] = {2: (), 3: (2,), 4: (2, 3)}
FOUR = {2: (1, 1), 3: (2, 1), 4: (2, 3)}


def layout_of(rank: int, queries: int = 5, keys: int = 7) -> AttentionLayout:
    query, key = np.zeros((*LEADING[rank], queries, 4)), np.zeros((*LEADING[rank], keys, 4))
    return AttentionLayout.of_inputs(query, key, key)[0]


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_inputs_and_matrices_get_four_axes(rank, library, rng) -> None:
    query, key = rng.normal(size=(*LEADING[rank], 5, 4)), rng.normal(size=(*LEADING[rank], 7, 4))
    layout, (q, k, v) = AttentionLayout.of_inputs(library(query), library(key), library(key))
    assert q.shape == (*FOUR[rank], 5, 4)
    assert k.shape == v.shape == (*FOUR[rank], 7, 4)
    np.testing.assert_array_equal(np.asarray(q).reshape(query.shape), np.asarray(library(query)))
    assert layout.shape == (*LEADING[rank], 5, 7)
    matrix = rng.normal(size=layout.shape)
    other, four = AttentionLayout.of_matrix(library(matrix))
    assert other == layout
    assert four.shape == (*FOUR[rank], 5, 7)
    np.testing.assert_array_equal(np.asarray(layout.restore(four)), np.asarray(library(matrix)))


def test_three_axes_beside_four_are_heads_of_one_example() -> None:
    query, key = np.zeros((2, 3, 5, 4)), np.zeros((3, 7, 4))
    _, (_, k, _) = AttentionLayout.of_inputs(query, key, key)
    assert k.shape == (1, 3, 7, 4)


@pytest.mark.parametrize(
    ("rank", "shape", "expected"),
    [
        (2, (5, 7), (1, 1, 5, 7)),
        (3, (5, 7), (1, 1, 5, 7)),
        (3, (2, 1, 7), (2, 1, 1, 7)),
        (4, (3, 5, 7), (1, 3, 5, 7)),
        (4, (2, 1, 1, 7), (2, 1, 1, 7)),
        (4, (5, 1), (1, 1, 5, 1)),
    ],
)
def test_masks_and_biases_are_aligned(rank, shape, expected) -> None:
    layout = layout_of(rank)
    array = layout.align(np.zeros(shape), "mask")
    assert array.shape == expected
    tile = layout.tile_of(array, slice(1, 3), slice(2, 7))
    rows, columns = (2 if expected[2] == 5 else 1), (5 if expected[3] == 7 else 1)
    assert tile.shape == (*expected[:2], rows, columns)


@pytest.mark.parametrize(
    ("rank", "shape", "expected"),
    [(2, (5,), (1, 1, 5)), (3, (2, 5), (2, 1, 5)), (3, (5,), (1, 1, 5)), (4, (3, 5), (1, 3, 5))],
)
def test_values_of_queries_are_aligned(rank, shape, expected) -> None:
    assert layout_of(rank).align_per_query(np.zeros(shape)).shape == expected


@pytest.mark.parametrize(
    ("rank", "shape", "expected"),
    [(2, (7, 6), (1, 1, 7, 6)), (3, (2, 7, 6), (2, 1, 7, 6)), (4, (3, 7, 6), (1, 3, 7, 6))],
)
def test_operands_are_aligned(rank, shape, expected) -> None:
    assert layout_of(rank).align_operand(np.zeros(shape), 7).shape == expected


@pytest.mark.parametrize("shape", [(7,), (6, 2), (3, 1, 7, 2), (2, 2, 7, 2)])
def test_operands_that_do_not_fit_are_refused(shape) -> None:
    with pytest.raises(ShapeError, match="x has shape"):
        layout_of(4).align_operand(np.zeros(shape), 7)


@pytest.mark.parametrize(("rank", "expected"), [(2, (7, 9)), (3, (2, 7, 9)), (4, (2, 7, 9))])
def test_answers_averaged_over_heads_have_no_axis_of_heads(rank, expected) -> None:
    layout = layout_of(rank)
    assert layout.restore_one_head(np.zeros((layout.batch, 1, 7, 9))).shape == expected


def test_positions_align_the_last_query_with_the_last_key() -> None:
    layout = layout_of(2)
    assert layout.offset == 2
    assert layout.positions(slice(1, 4)).tolist() == [1, 2, 3]
    assert layout.clip_to_keys(np.array([-1, 3, 9])).tolist() == [0, 3, 7]


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (((2, 4, 5, 6), (2, 7, 6), (2, 7, 6)), "key"),  # one head for each example, or two heads
        (((2, 2, 5, 6), (2, 7, 6), (2, 7, 6)), "key"),
        (((4, 5, 6), (4, 2, 7, 6), (4, 2, 7, 6)), "query"),
        (((2, 5, 6), (2, 2, 7, 6), (2, 2, 7, 6)), "query"),
        (((2, 4, 5, 6), (2, 2, 7, 6), (2, 7, 6)), "value"),
    ],
)
def test_three_axes_beside_four_that_may_be_examples_are_refused(shapes, name) -> None:
    """Taken for grouped heads, keys of example 0 would be answers for every example."""
    with pytest.raises(ShapeError, match=rf"{name} has three axes.*insert the other one"):
        AttentionLayout.of_inputs(*(np.zeros(shape) for shape in shapes))


def test_one_of_three_axes_beside_four_is_for_all() -> None:
    query, key = np.zeros((2, 4, 5, 6)), np.zeros((1, 7, 6))
    _, (_, k, _) = AttentionLayout.of_inputs(query, key, key)
    assert k.shape == (1, 1, 7, 6)
