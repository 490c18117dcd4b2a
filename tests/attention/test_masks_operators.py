"""Operators of masks, masks by functions, FlexAttention's masks, and alignment of `causal`."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard import masks, positions
from regard.attention.kernels import limits
from regard.errors import InputError, MaskError

PAST = np.tri(5, dtype=bool)
ODD = (np.arange(5)[:, None] + np.arange(5)) % 2 == 1


def seen(
    mask: Any, *, batch: int = 2, heads: int = 3, queries: int = 5, keys: int = 5
) -> np.ndarray:
    """What a mask lets through, by `attend` in NumPy and in torch."""
    q, k = np.zeros((batch, heads, queries, 4)), np.zeros((batch, heads, keys, 4))
    dense = np.asarray(regard.attend(q, k, k, mask=mask)[1].dense()) > 0
    tensors = torch.from_numpy(q), torch.from_numpy(k)
    other = regard.attend(*tensors, tensors[1], mask=mask)[1].dense() > 0
    np.testing.assert_array_equal(np.asarray(other), dense)
    return dense


@pytest.mark.parametrize(
    "combine",
    [
        lambda: regard.causal() and regard.padding([3, 5]),
        lambda: regard.causal() or regard.padding([3, 5]),
        lambda: not regard.causal(),
        lambda: bool(regard.padding([3, 5])),
        lambda: masks.where(lambda b, h, i, j: i > j) and regard.causal(),
        lambda: (regard.causal() & PAST) and regard.causal(),
    ],
)
def test_pythons_and_or_not_are_refused(combine: Callable[[], Any]) -> None:
    with pytest.raises(MaskError, match=r"combine masks by & and \|.*compare it with None"):
        combine()


@pytest.mark.unchecked
def test_biases_and_maps_have_no_truth_value_either() -> None:
    alibi = positions.ALiBi()
    with pytest.raises(InputError, match=r"add biases by \+"):
        bool(alibi)
    x = np.eye(3)
    _, weights = regard.attend(x, x, x)
    with pytest.raises(InputError, match="an attention map is neither true nor false"):
        bool(weights)
    with pytest.raises(InputError, match="rollout got one map"):
        regard.rollout(weights)  # type: ignore[arg-type]


def test_inverted_masks() -> None:
    np.testing.assert_array_equal(seen(~regard.causal())[0, 0], ~PAST)
    np.testing.assert_array_equal(seen(~(regard.causal() & ODD))[1, 2], ~(PAST & ODD))
    np.testing.assert_array_equal(seen(~regard.causal() & ODD)[0, 1], ~PAST & ODD)
    np.testing.assert_array_equal(
        seen(ODD | ~regard.window(1))[0, 1], ODD | ~seen(regard.window(1))[0, 0]
    )
    lengths = regard.padding([3, 5])
    np.testing.assert_array_equal(seen(~lengths)[:, 0, 0], np.arange(5) >= [[3], [5]])
    assert (~lengths).same_for_all_queries
    assert ~~lengths is lengths
    with pytest.raises(MaskError, match="padding got 3 lengths for a batch of 2"):
        seen(~regard.padding([1, 2, 3]))


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (5, 3), (5, 5), (1, 4)])
def test_causal_aligned_at_either_end(queries: int, keys: int) -> None:
    i, j = np.arange(queries)[:, None], np.arange(keys)
    first = seen(regard.causal(align="upper left"), queries=queries, keys=keys)
    np.testing.assert_array_equal(first[0, 0], j <= i)
    last = seen(regard.causal(align="lower right"), queries=queries, keys=keys)
    np.testing.assert_array_equal(last[0, 0], j <= i + keys - queries)
    assert last.tolist() == seen(regard.causal(), queries=queries, keys=keys).tolist()


def test_causal_upper_left_against_torch() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 300, 8), torch.randn(2, 3, 500, 8)  # above the kernels' minimum
    assert limits.FUSED_MIN_WEIGHTS < 2 * 3 * 300 * 500
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True)
    mask = regard.causal(align="upper left")
    torch.testing.assert_close(regard.attend(q, k, k, mask=mask)[0], expected)
    output, weights = regard.attend(q, k, k, mask=mask, watch=("entropy",))
    torch.testing.assert_close(output, expected)
    assert weights.entropy()[:, :, 0].abs().max() < 1e-6  # the first query sees the first key alone


@pytest.mark.unchecked
def test_unknown_alignments_are_refused() -> None:
    with pytest.raises(MaskError, match="did you mean 'upper left'"):
        regard.causal(align="upper-left")  # type: ignore[arg-type]


def test_a_function_of_positions(library: Callable[[Any], Any]) -> None:
    def allowed(b: Any, h: Any, i: Any, j: Any) -> Any:
        return (i >= j) & ((i - j) % (h + 1) == 0) & (j >= b)

    b, h, i, j = np.ogrid[:2, :3, :5, :7]
    q, k = np.zeros((2, 3, 5, 4)), np.zeros((2, 3, 7, 4))
    arrays = library(q), library(k), library(k)
    dense = np.asarray(regard.attend(*arrays, mask=masks.where(allowed))[1].dense())
    np.testing.assert_array_equal(dense > 0, allowed(b, h, i, j))
    both = np.asarray(
        regard.attend(*arrays, mask=~masks.where(allowed) & regard.window(3))[1].dense()
    )
    near = abs(j - (i + 2)) <= 3
    np.testing.assert_array_equal(both > 0, ~allowed(b, h, i, j) & near)


def test_a_function_with_tables_and_few_axes() -> None:
    ids = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 2, 2]])
    found = seen(masks.where(lambda b, h, i, j: ids[torch.as_tensor(b), torch.as_tensor(i)]
                             == ids[torch.as_tensor(b), torch.as_tensor(j)]))  # fmt: skip
    np.testing.assert_array_equal(found, seen(regard.documents(ids)))
    assert seen(masks.where(lambda b, h, i, j: True)).all()
    assert not seen(masks.where(lambda b, h, i, j: j < 0)).any()


@pytest.mark.parametrize("watch", [(), ("entropy", "received")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_function_above_the_kernels_minimum(watch: tuple[str, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 400, 8).to(dtype).unbind(0)
    q.requires_grad_()
    i, j = torch.arange(400)[:, None], torch.arange(400)
    array = (j <= i) & ((i - j) % 3 == 0)
    by_function = masks.where(lambda b, h, i, j: (j <= i) & ((i - j) % 3 == 0))
    expected, plain = regard.attend(q, k, v, mask=array, watch=watch)
    found, weights = regard.attend(q, k, v, mask=by_function, watch=watch)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(weights.received(), plain.received())
    grads = [torch.autograd.grad(x.float().square().sum(), q)[0] for x in (found, expected)]
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda b, h, i, j: i - j, "returned int64; expected Booleans"),
        (lambda b, h, i, j: None, "returned a NoneType; expected Booleans"),
        (
            lambda b, h, i, j: np.ones((4, 5), bool),
            r"returned shape \(4, 5\); expected.*\(2, 3, 5, 5\)",
        ),
        (lambda b, h, i, j: np.ones((1, 1, 1, 5, 5), bool), r"returned shape \(1, 1, 1, 5, 5\)"),
    ],
)
def test_functions_that_return_no_mask_are_refused(function: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        seen(masks.where(function))


@pytest.mark.unchecked
def test_functions_in_the_wrong_place_are_refused() -> None:
    with pytest.raises(MaskError, match=r"mask is a function; .*call it, as in regard\.causal\(\)"):
        seen(regard.causal)
    with pytest.raises(MaskError, match="where got a ndarray; expected a function"):
        masks.where(np.ones((5, 5), bool))  # type: ignore[arg-type]


def block_mask(function: Any, batch: int | None, heads: int | None, queries: int, keys: int) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    return create_block_mask(function, batch, heads, queries, keys, device="cpu", BLOCK_SIZE=16)


@pytest.mark.parametrize(("queries", "keys"), [(48, 48), (37, 61)])
def test_block_masks_of_flex_attention(queries: int, keys: int) -> None:
    offset = torch.tensor([0, 9])

    def allowed(b: Any, h: Any, i: Any, j: Any) -> Any:
        return (i + offset[b] >= j) & (i - j < 20 + h)

    b, h, i, j = (torch.from_numpy(x) for x in np.ogrid[:2, :3, :queries, :keys])
    found = seen(block_mask(allowed, 2, 3, queries, keys), queries=queries, keys=keys)
    np.testing.assert_array_equal(found, allowed(b, h, i, j).expand(2, 3, -1, -1))
    shared = block_mask(lambda b, h, i, j: i >= j, None, None, queries, keys)
    found = seen(shared, queries=queries, keys=keys)
    np.testing.assert_array_equal(found[1, 2], np.tri(queries, keys, dtype=bool))
    found = seen(regard.window(3) & shared, queries=queries, keys=keys)
    away = j - (i + keys - queries)
    np.testing.assert_array_equal(found[0, 0], ((abs(away) <= 3) & (i >= j))[0, 0])


def test_block_masks_of_blocks_alone() -> None:
    """Blocks listed by hand: those that are not listed are masked, whatever the function says."""
    from torch.nn.attention.flex_attention import BlockMask

    count = torch.tensor([[[1, 2]]], dtype=torch.int32)
    indices = torch.tensor([[[[2, 0, 1], [0, 1, 2]]]], dtype=torch.int32)
    mask = BlockMask.from_kv_blocks(count, indices, BLOCK_SIZE=4, seq_lengths=(8, 12))
    blocks = np.array([[0, 0, 1], [1, 1, 0]], bool)
    found = seen(mask, queries=8, keys=12)
    np.testing.assert_array_equal(found[1, 1], np.kron(blocks, np.ones((4, 4), bool)))


def test_block_masks_that_do_not_fit_are_refused() -> None:
    mask = block_mask(lambda b, h, i, j: i >= j + 0 * b, 2, None, 37, 48)
    with pytest.raises(MaskError, match="made for 37 queries and 48 keys; expected 37 and 61"):
        seen(mask, queries=37, keys=61)
    with pytest.raises(MaskError, match="made for a batch of 2 and 1 heads; expected 3 and 3"):
        seen(mask, batch=3, queries=37, keys=48)
    with pytest.raises(MaskError, match="slice of a BlockMask"):
        seen(mask[0], queries=37, keys=48)


def future(b: Any, h: Any, i: Any, j: Any) -> Any:
    return i < j


def test_maps_with_these_masks_can_be_pickled() -> None:
    q = torch.randn(2, 3, 37, 4)
    made = masks.where(future), ~masks.where(future), block_mask(future, None, None, 37, 37)
    for mask in made:
        _, weights = regard.attend(q, q, q, mask=mask, bias=positions.ALiBi() + 1)
        again = pickle.loads(pickle.dumps(weights))
        torch.testing.assert_close(again.dense(), weights.dense())


def test_torchs_causal_bias_is_refused_by_name() -> None:
    from torch.nn.attention.bias import causal_upper_left

    q, bias = torch.zeros(2, 5, 4), causal_upper_left(5, 5)
    with pytest.raises(MaskError, match=r'regard\.causal\(align="upper left"\)'):
        regard.attend(q, q, q, mask=bias)
    with pytest.raises(InputError, match=r"expected mask=regard\.causal\(\)"):
        regard.attend(q, q, q, bias=bias)


def test_lists_of_masks_and_empty_ones() -> None:
    with pytest.raises(MaskError, match="several masks are combined by & or"):
        seen([regard.causal(), regard.window(1)])
    with pytest.raises(MaskError, match=r"has shape \(5,\).*mask\[None\] is one of keys"):
        seen(np.ones(5, bool))
    assert seen(regard.padding([]), batch=0).shape == (0, 3, 5, 5)
    assert seen(regard.documents([]), queries=0, keys=0).shape == (2, 3, 0, 0)


def test_tensors_and_masks_combine_from_either_side() -> None:
    array = torch.from_numpy(ODD)
    for mask in (array & regard.causal(), regard.causal() & array):
        np.testing.assert_array_equal(seen(mask)[0, 0], ODD & PAST)
    for mask in (array | regard.causal(), regard.causal() | array):
        np.testing.assert_array_equal(seen(mask)[0, 0], ODD | PAST)
