"""Nested tensors: each document as if it were alone, outputs nested again, gradients, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import regard
from regard.errors import InputError, ShapeError

pytestmark = pytest.mark.unchecked  # each nested tensor has a symbol of its own for its lengths

LENGTHS, OTHERS = (3, 0, 5, 1), (2, 4, 6, 1)


def nested(*sequences: Tensor, heads: int = 0) -> Tensor:
    """A jagged tensor `(batch, length, 8)`, or `(batch, heads, length, 8)`."""
    if not heads:
        return torch.nested.nested_tensor(list(sequences), layout=torch.jagged, requires_grad=True)
    split = [x.unflatten(1, (heads, -1)) for x in sequences]
    joined = torch.nested.nested_tensor(split, layout=torch.jagged, requires_grad=True)
    return joined.transpose(1, 2)


def documents(lengths: tuple[int, ...], seed: int, features: int = 8) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(n, features) for n in lengths]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, (300, 0, 700, 2)])
def test_each_document_as_if_alone(lengths: tuple[int, ...], masked: bool) -> None:
    queries, keys, values = (documents(lengths, n) for n in range(3))
    mask = regard.causal() if masked else None
    output, weights = regard.attend(nested(*queries), nested(*keys), nested(*values), mask=mask)
    assert output.is_nested
    longest = max(lengths)
    assert weights.shape == (len(lengths), longest, longest)
    for n, length in enumerate(lengths):
        alone, own = regard.attend(queries[n], keys[n], values[n], mask=mask)
        torch.testing.assert_close(output[n], alone)
        torch.testing.assert_close(weights[n, :length, :length].detach(), own.dense())
        assert not weights[n, length:].any()


@pytest.mark.parametrize("heads", [0, 2])
def test_cross_attention_and_gradients(heads: int) -> None:
    lengths = LENGTHS, OTHERS, OTHERS
    packed = [torch.cat(documents(x, n)).double().requires_grad_() for n, x in enumerate(lengths)]
    arrays = []
    for values, ends in zip(packed, lengths, strict=True):
        offsets = torch.tensor((0, *ends)).cumsum(0)
        split = values.unflatten(1, (heads, -1)) if heads else values
        joined = torch.nested.nested_tensor_from_jagged(split, offsets=offsets)
        arrays.append(joined.transpose(1, 2) if heads else joined)
    output, _ = regard.attend(*arrays)
    total = torch.zeros((), dtype=torch.float64)
    starts = [0, 0]
    for n, (length, other) in enumerate(zip(LENGTHS, OTHERS, strict=True)):
        parts = [packed[0][starts[0] :][:length], *(x[starts[1] :][:other] for x in packed[1:])]
        if heads:
            parts = [x.unflatten(1, (heads, -1)).transpose(0, 1)[None] for x in parts]
        alone = regard.attend(*parts)[0]
        torch.testing.assert_close(output[n], alone[0] if heads else alone)
        total = total + alone.square().sum()
        starts = [starts[0] + length, starts[1] + other]
    squares = (output.transpose(1, 2) if heads else output).values().square().sum()
    found, expected = torch.autograd.grad(squares, packed), torch.autograd.grad(total, packed)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_the_output_can_be_added_to_the_query() -> None:
    """Its lengths are those of the query for torch, too, as a residual connection needs."""
    x = nested(*documents(LENGTHS, 0))
    output, _ = regard.attend(x, x, x, mask=regard.causal())
    torch.testing.assert_close((x + output).values(), x.values() + output.values())


def test_biases_and_watched_statistics() -> None:
    x = nested(*documents(LENGTHS, 0))
    bias = regard.positions.ALiBi()
    output, weights = regard.attend(x, x, x, bias=bias, watch=("entropy",))
    for n, length in enumerate(LENGTHS):
        alone, own = regard.attend(*([documents(LENGTHS, 0)[n]] * 3), bias=bias)
        torch.testing.assert_close(output[n], alone)
        torch.testing.assert_close(weights.entropy()[n, :length].detach(), own.entropy())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda x: [nested(*x), torch.zeros(4, 5, 8), torch.zeros(4, 5, 8)],
            InputError,
            "key and value is no nested tensor",
        ),
        (
            lambda x: [nested(*x), nested(*x), nested(*documents(OTHERS, 1))],
            ShapeError,
            r"key has lengths \[3, 0, 5, 1\], value \[2, 4, 6, 1\]",
        ),
        (
            lambda x: [nested(*x), *[nested(*documents((2, 3), 1))] * 2],
            ShapeError,
            "query has a batch of 4, key of 2",
        ),
        (lambda x: [nested(*x, heads=2).transpose(1, 2)] * 3, InputError, r"transpose\(1, 2\)"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        regard.attend(*make(documents(LENGTHS, 0)))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
def test_strided_nested_tensors_are_refused_by_name() -> None:
    strided = torch.nested.nested_tensor(documents(LENGTHS, 0), layout=torch.strided)
    message = (
        r"layout torch\.strided; expected layout=torch\.jagged.*regard\.padding.*regard\.documents"
    )
    with pytest.raises(InputError, match=message):
        regard.attend(strided, strided, strided)


def test_masks_between_lengths_that_differ_are_refused() -> None:
    q, k = nested(*documents(LENGTHS, 0)), nested(*documents(OTHERS, 1))
    with pytest.raises(InputError, match="would be aligned otherwise than in each example"):
        regard.attend(q, k, k, mask=regard.causal())
