"""Each mask against its meaning, tile by tile and as ranges; what is refused."""

import numpy as np
import pytest
import torch

import regard
from regard.attention.layout import AttentionLayout
from regard.attention.masks import as_mask, local
from regard.errors import MaskError


def make_layout(batch=2, heads=3, queries=5, keys=7, rank=4, xp=np):
    import array_api_compat

    like = np.zeros(1) if xp is np else torch.zeros(1)
    namespace = array_api_compat.array_namespace(like)
    return AttentionLayout(batch, heads, queries, keys, rank, namespace, "cpu", namespace.float32)


def whole_mask(mask, layout):
    """The whole mask by tiles of 2 x 3, checked against one tile and against its ranges."""
    full = (layout.batch, layout.heads, layout.queries, layout.keys)
    once = np.broadcast_to(
        np.asarray(mask.tile(layout, slice(0, layout.queries), slice(0, layout.keys))), full
    )
    for i in range(0, layout.queries, 2):
        for j in range(0, layout.keys, 3):
            rows, columns = slice(i, min(i + 2, layout.queries)), slice(j, min(j + 3, layout.keys))
            part = np.asarray(mask.tile(layout, rows, columns))
            np.testing.assert_array_equal(
                np.broadcast_to(part, once[:, :, rows, columns].shape), once[:, :, rows, columns]
            )
    ranges = mask.intervals(layout)
    if ranges is not None:
        low, high = (np.broadcast_to(np.asarray(x), full[:3])[..., None] for x in ranges)
        position = np.arange(layout.keys)
        np.testing.assert_array_equal((position >= low) & (position < high), once)
        assert low.min() >= 0
        assert high.max() <= layout.keys
    return once


@pytest.mark.parametrize("library", [np, torch])
@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (7, 5), (5, 5), (1, 7), (7, 1)])
def test_bands_align_the_last_query_with_the_last_key(library, queries, keys):
    layout = make_layout(queries=queries, keys=keys, xp=library)
    distance = np.arange(keys) - (np.arange(queries) + keys - queries)[:, None]
    for mask, expected in (
        (regard.causal(), distance <= 0),
        (regard.window(2), abs(distance) <= 2),
        (regard.window(2, 0), (distance <= 0) & (distance >= -2)),
        (regard.window(0, 3), (distance >= 0) & (distance <= 3)),
        (regard.causal() & regard.window(1), (distance <= 0) & (distance >= -1)),
    ):
        np.testing.assert_array_equal(whole_mask(mask, layout)[1, 2], expected)


@pytest.mark.parametrize("library", [np, torch])
def test_padding_by_lengths_and_by_booleans(library):
    layout = make_layout(xp=library)
    lengths = np.array([7, 3])
    real = np.arange(7) < lengths[:, None]
    for mask in (regard.padding(lengths), regard.padding([7, 3]), regard.padding(real)):
        assert mask.same_for_all_queries
        found = whole_mask(mask, layout)
        np.testing.assert_array_equal(found, np.broadcast_to(real[:, None, None], found.shape))


def test_padding_of_queries_too():
    found = whole_mask(regard.padding([7, 3], queries=[2, 5]), make_layout())
    expected = (np.arange(7) < [[7], [3]])[:, None] & (np.arange(5) < [[2], [5]])[:, :, None]
    np.testing.assert_array_equal(found[:, 1], expected)


def test_documents_are_ranges_when_unbroken():
    layout = make_layout(queries=7)
    ids = np.array([[0, 0, 4, 4, 4, 1, 1], [2, 2, 2, 2, 2, 2, 2]])
    mask = regard.documents(ids)
    assert mask.intervals(layout) is not None
    np.testing.assert_array_equal(whole_mask(mask, layout)[:, 0], ids[:, :, None] == ids[:, None])
    np.testing.assert_array_equal(
        whole_mask(mask & regard.causal(), layout)[0, 0],
        (ids[0][:, None] == ids[0]) & np.tri(7, dtype=bool),
    )


def test_documents_in_several_pieces_and_of_other_keys():
    broken = np.array([0, 1, 0, 1, 1, 2, 2])
    mask = regard.documents(torch.tensor(broken))
    assert mask.intervals(make_layout(queries=7)) is None
    np.testing.assert_array_equal(
        whole_mask(mask, make_layout(queries=7))[1, 1], broken[:, None] == broken
    )
    queries, keys = np.array([3, 9, 1, 1, 0]), np.array([0, 0, 1, 1, 1, 3, 3])
    across = regard.documents(queries, keys)
    assert across.intervals(make_layout()) is not None
    np.testing.assert_array_equal(whole_mask(across, make_layout())[0, 0], queries[:, None] == keys)


def test_local_windows_around_centres():
    centres = np.array([[0.4, 2.0, 3.5, 9.0, -4.0]])
    found = whole_mask(local(centres[:, None], 2), make_layout(batch=1, heads=1))[0, 0]
    np.testing.assert_array_equal(found, abs(np.arange(7) - centres[0][:, None]) <= 2)


@pytest.mark.parametrize(
    ("dtype", "last"), [(torch.bfloat16, 512), (torch.float16, 4096), (torch.uint8, 255)]
)
def test_local_windows_in_types_with_few_integers(dtype, last):
    centres = torch.tensor([0, 1, 2, last // 2, last], dtype=dtype)
    layout = make_layout(batch=1, heads=1, keys=last + 4, xp=torch)
    found = local(centres, 3).tile(layout, slice(0, 5), slice(0, last + 4))[0, 0]
    distance = np.arange(last + 4) - np.array([0, 1, 2, last // 2, last])[:, None]
    np.testing.assert_array_equal(found, abs(distance) <= 3)


def test_and_and_or_combine_masks_and_arrays():
    layout, array = make_layout(), np.random.default_rng(0).random((5, 7)) < 0.5
    past = np.tri(5, 7, 2, dtype=bool)
    for both in (regard.causal() & array, array & regard.causal()):
        np.testing.assert_array_equal(whole_mask(both, layout)[0, 0], past & array)
    for either in (regard.causal() | array, array | regard.causal()):
        np.testing.assert_array_equal(whole_mask(either, layout)[0, 0], past | array)
    assert (regard.causal() | array).intervals(layout) is None


@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (5, 1), (2, 3, 5, 7), (2, 1, 1, 7), (3, 5, 7)])
def test_arrays_broadcast(shape):
    array = np.random.default_rng(0).random(shape) < 0.5
    found = whole_mask(as_mask(array), make_layout())
    np.testing.assert_array_equal(found, np.broadcast_to(array, (2, 3, 5, 7)))


def test_a_mask_of_three_axes_is_for_each_example_when_there_are_no_heads(rng):
    q, k, v = (rng.normal(size=(2, n, 4)) for n in (5, 7, 7))
    mask = rng.random((2, 5, 7)) < 0.5
    _, weights = regard.attend(q, k, v, mask=mask)
    np.testing.assert_array_equal(weights.dense() > 0, mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.zeros((5, 7)), r"mask holds float64; expected Booleans.*pass.* as bias="),
        (lambda: np.zeros((5, 7), int), r"mask holds int64; expected Booleans.*compare it first"),
        (lambda: [[True]], r"mask is a list; expected a Boolean array"),
        (lambda: np.ones(7, bool), r"mask has shape \(7,\); expected \(\.\.\., queries, keys\)"),
        (lambda: np.ones((5, 6), bool), r"mask has shape \(5, 6\).*broadcasts to \(2, 3, 5, 7\)"),
        (lambda: np.ones((2, 7), bool), r"use regard.padding"),
        (lambda: np.ones((2, 5, 7), bool), r"insert an axis for the heads"),
        (lambda: regard.window(-1), r"window got a width of -1; expected 0 or more keys"),
        (lambda: local(np.zeros((1, 5)), -2), r"local got a width of -2"),
        (lambda: local(np.zeros((1, 6)), 2), r"local got centres of shape \(1, 6\)"),
        (lambda: regard.padding([1, 2, 3]), r"padding got 3 lengths for a batch of 2"),
        (lambda: regard.padding([7, 8]), r"padding got a length of 8 where there are 7 positions"),
        (lambda: regard.padding([0, 8]), r"padding got a length of 8 where there are 7 positions"),
        (
            lambda: regard.padding([-1, 2]),
            r"padding got a length of -1 where there are 7 positions",
        ),
        (
            lambda: regard.padding([1.5, 2]),
            r"padding got float64 of shape \(2,\); expected lengths",
        ),
        (lambda: regard.padding(np.ones((2, 6), bool)), r"padding got shape \(2, 6\)"),
        (lambda: regard.documents([1, 2]), r"documents got queries of shape \(1, 2\)"),
        (lambda: regard.documents([0.5]), r"documents got float64"),
        (lambda: regard.causal() & [1], r"mask is a list"),
    ],
)
def test_wrong_masks_are_refused(make, message):
    q, k = np.zeros((2, 3, 5, 4)), np.zeros((2, 3, 7, 4))
    with pytest.raises(MaskError, match=message):
        regard.attend(q, k, k, mask=make())
