"""All layers check rank, width, type, mask and empty input with one wording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regard
from regard.errors import InputError, MaskError, ShapeError
from regard.layers import (
    AttentionPooling,
    BahdanauAttention,
    LocalM,
    LocalP,
    LuongAttention,
    LuongScore,
    MultiHeadAttention,
    PointerAttention,
)

Call = Callable[..., tuple[Tensor, Any]]


def pointer() -> Call:
    layer = PointerAttention(8, 8)

    def call(query: Tensor, key: Tensor, mask: Any = None, bias: Any = None) -> tuple[Tensor, Any]:
        keys = layer.project_keys(key)
        coverage = torch.zeros(*query.shape[:2], key.shape[1])
        return layer(query, keys, key, coverage=coverage, mask=mask, bias=bias)[:2]

    return call


def pooling() -> Call:
    layer = AttentionPooling(8, heads=2)

    def call(query: Tensor, key: Tensor, mask: Any = None, bias: Any = None) -> tuple[Tensor, Any]:
        return layer(key, mask=mask, bias=bias)

    return call


LAYERS: dict[str, Callable[[], Call]] = {
    "Bahdanau": lambda: BahdanauAttention(8, 8),
    "Luong score": lambda: LuongScore(8, 8, kind="concat"),
    "Luong": lambda: LuongAttention(8, 8),
    "local-m": lambda: LuongAttention(8, 8, where=LocalM(2)),
    "local-p": lambda: LuongAttention(8, 8, where=LocalP(2)),
    "multi-head": lambda: MultiHeadAttention(8, 2),
    "grouped": lambda: MultiHeadAttention(8, 4, key_heads=2),
    "pointer": pointer,
    "pooling": pooling,
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Call:
    torch.manual_seed(0)
    return LAYERS[request.param]()


def dense(weights: Any) -> Tensor:
    return weights if isinstance(weights, Tensor) else weights.dense()


def test_one_convention_of_mask_and_bias(layer: Call) -> None:
    query, key = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    output, weights = layer(query, key, mask=regard.padding([6, 2, 0]))
    assert not dense(weights)[1, ..., 2:].any()
    assert not dense(weights)[2].any()
    assert dense(weights)[0].sum(-1).allclose(torch.ones(1))
    for n, length in enumerate((6, 2)):
        alone, own = layer(query[n : n + 1], key[n : n + 1, :length])
        torch.testing.assert_close(output[n : n + 1], alone)
        torch.testing.assert_close(dense(weights)[n : n + 1, ..., :length], dense(own))
    if dense(weights).ndim == 3 and not isinstance(weights, Tensor):
        same = layer(
            query, key, mask=(torch.arange(6) < torch.tensor([[[6]], [[2]], [[0]]])).numpy()
        )
        torch.testing.assert_close(same[0], output)
    bias = torch.zeros(1, 1, 6) if dense(weights).ndim == 3 else torch.zeros(1, 1, 1, 6)
    bias[..., 1:] = -torch.inf
    _, weights = layer(query, key, bias=bias)
    assert not dense(weights)[..., 1:].any()


@pytest.mark.parametrize("sizes", [(0, 4, 6), (2, 0, 6), (2, 4, 0), (0, 0, 0), (2, 0, 0)])
@pytest.mark.parametrize("training", [True, False])
def test_empty_inputs(layer: Call, sizes: tuple[int, int, int], training: bool) -> None:
    batch, queries, keys = sizes
    query, key = torch.randn(batch, queries, 8), torch.randn(batch, keys, 8)
    for mask in (None, regard.padding(torch.zeros(batch, dtype=torch.int64))):
        with torch.set_grad_enabled(training):
            output, weights = layer(query, key, mask=mask)
        assert torch.isfinite(output).all()
        assert output.shape[0] == batch
        assert dense(weights).shape[-1] == keys
        if training:
            output.sum().backward()


@pytest.mark.parametrize("shape", [(6, 8), (2, 3, 6, 8), (8,)])
def test_another_number_of_axes_is_refused(layer: Call, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"has shape .*; expected \(batch, length, 8\)"):
        layer(torch.randn(2, 4, 8) if len(shape) > 2 else torch.randn(*shape), torch.randn(*shape))


def test_another_width_is_refused(layer: Call) -> None:
    with pytest.raises(ShapeError, match=r"has shape \(2, 6, 7\); expected \(batch, length, 8\)"):
        layer(torch.randn(2, 4, 8), torch.randn(2, 6, 7))


def test_another_type_is_refused(layer: Call) -> None:
    query, key = torch.randn(2, 4, 8), torch.randn(2, 6, 8)
    with pytest.raises(
        InputError, match=r"torch.float64, the layer torch.float32; expected one type"
    ):
        layer(query.double(), key.double())
    with pytest.raises(InputError, match=r"torch\.int64, the layer .*embed or convert it first"):
        layer(query.long(), key.long())


def test_nested_tensors_are_taken_or_refused_by_name(layer: Call) -> None:
    if isinstance(layer, MultiHeadAttention):
        return  # it takes them: see test_multihead.py
    jagged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)], layout=torch.jagged)
    with pytest.raises(InputError, match=r"is a nested tensor.*regard\.padding.*regard\.documents"):
        layer(jagged, jagged)


def test_autocast_converts(layer: Call) -> None:
    query, key = torch.randn(2, 4, 8), torch.randn(2, 6, 8)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        narrow, _ = layer(query.bfloat16(), key.bfloat16())
        mixed, _ = layer(query, key)
    expected, _ = layer(query, key)
    for output in (narrow, mixed):
        torch.testing.assert_close(output.float(), expected.detach(), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 6), r"mask holds torch\.float32"),
        (torch.ones(2, 6).long(), r"mask holds torch\.int64"),
        (torch.ones(2, 5, dtype=torch.bool), r"mask has shape \(2, 5\)"),
        (torch.ones(3, 4, 6, dtype=torch.bool), r"mask has shape \(3, 4, 6\)"),
        ([True], "mask is a list"),
        (regard.padding([6, 6, 6]), "padding got 3 lengths for a batch of 2"),
        (regard.padding([6, 7]), "padding got a length of 7 where there are 6 positions"),
        (regard.causal, "mask is a function"),
    ],
)
def test_wrong_masks_are_refused(layer: Call, mask: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        layer(torch.randn(2, 4, 8), torch.randn(2, 6, 8), mask=mask)


def test_masks_of_numpy() -> None:
    real = torch.arange(6) < torch.tensor([[6], [2]])
    key = torch.randn(2, 6, 8)
    pooling = AttentionPooling(8)
    torch.testing.assert_close(pooling(key, real.numpy())[0], pooling(key, real)[0])
    attention = MultiHeadAttention(8, 2)
    of_keys = real[:, None, None]
    torch.testing.assert_close(
        attention(key, mask=of_keys.numpy())[0], attention(key, mask=of_keys)[0]
    )


def test_lists_are_refused() -> None:
    with pytest.raises(InputError, match="query is a list; expected a torch tensor"):
        MultiHeadAttention(8, 2)([[1.0]])
    module: nn.Module = AttentionPooling(8)
    with pytest.raises(InputError, match="sequence is a NoneType"):
        module(None)
