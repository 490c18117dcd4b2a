"""Attention pooling: by hand, gradients, masks, parts, positions, heads, and a task it must learn."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regard.attention import attend
from regard.attention.scores import Dot
from regard.errors import InputError, ShapeError
from regard.layers import AttentionPooling


def reference(pooling: AttentionPooling, sequence: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The formula, row by row and head by head."""
    pooled, weights = [], []
    for row, real in zip(sequence, mask, strict=True):
        for head in range(len(pooling.context)):
            hidden = torch.tanh(row @ pooling.project.weight.T + pooling.project.bias)
            scores = hidden @ pooling.context[head]
            if pooling.position is not None:
                scores = scores + pooling.position[head, : len(row)]
            alpha = torch.where(real, (scores - scores[real].amax()).exp(), 0.0)
            alpha = alpha / alpha.sum()
            weights.append(alpha)
            pooled.append(alpha @ row)
    heads = len(pooling.context)
    batch, length, width = sequence.shape
    return (
        torch.stack(pooled).view(batch, heads * width),
        torch.stack(weights).view(batch, heads, 1, length),
    )


def double(*sizes: int, **options: int) -> AttentionPooling:
    torch.manual_seed(0)
    pooling = AttentionPooling(*sizes, **options).double()
    if pooling.position is not None:
        torch.nn.init.normal_(pooling.position)
    return pooling


def test_by_hand() -> None:
    """tanh(atanh(1/2)) = 1/2, v = 2 ln 3: scores ln 3 and 0, so weights 3/4 and 1/4."""
    pooling = AttentionPooling(2, 1).double()
    with torch.no_grad():
        pooling.project.weight.copy_(torch.tensor([[1.0, 0.0]]))
        pooling.project.bias.zero_()
        pooling.context.fill_(2 * math.log(3))
    sequence = torch.tensor([[[math.atanh(0.5), 4.0], [0.0, 8.0]]], dtype=torch.double)
    pooled, weights = pooling(sequence)
    torch.testing.assert_close(
        weights.dense(), torch.tensor([[[[0.75, 0.25]]]], dtype=torch.double)
    )
    expected = torch.tensor([[0.75 * math.atanh(0.5), 5.0]], dtype=torch.double)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize(("heads", "positions"), [(1, 0), (3, 0), (2, 13)])
def test_against_the_formula(heads: int, positions: int) -> None:
    pooling = double(5, 7, heads=heads, positions=positions)
    sequence = torch.randn(3, 11, 5, dtype=torch.double)
    mask = torch.arange(11) < torch.tensor([[11], [4], [1]])
    pooled, weights = pooling(sequence, mask)
    expected, expected_weights = reference(pooling, sequence, mask)
    assert weights.shape == (3, heads, 1, 11)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(weights.dense(), expected_weights)


def test_against_attend_with_a_learned_query() -> None:
    pooling = double(5, 7, heads=3, positions=11)
    sequence = torch.randn(3, 11, 5, dtype=torch.double)
    mask = torch.arange(11) < torch.tensor([[11], [4], [0]])
    assert pooling.position is not None
    output, weights = attend(
        pooling.context[None, :, None].expand(3, -1, -1, -1),
        torch.tanh(pooling.project(sequence))[:, None],
        sequence[:, None],
        score=Dot(),
        mask=mask[:, None, None],
        bias=pooling.position[:, None],
    )
    pooled, own = pooling(sequence, mask)
    torch.testing.assert_close(pooled, output.flatten(1))
    torch.testing.assert_close(own.dense(), weights.dense())


@pytest.mark.parametrize("positions", [0, 7])
def test_gradients(positions: int) -> None:
    pooling = double(3, 2, heads=2, positions=positions)
    sequence = torch.randn(3, 5, 3, dtype=torch.double, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([[5], [2], [0]])
    names, values = zip(*pooling.named_parameters(), strict=True)

    def pooled(sequence: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(pooling, given, (sequence, mask))[0]

    assert torch.autograd.gradcheck(pooled, (sequence, *values))


def test_a_row_of_no_tokens_is_zeros_forward_and_backward() -> None:
    pooling = double(3, heads=2)
    sequence = torch.full((2, 4, 3), torch.nan, dtype=torch.double)
    sequence[0, :2] = 1.0
    sequence.requires_grad_()
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    pooled, weights = pooling(sequence, mask)
    assert torch.equal(pooled[1], torch.zeros(6, dtype=torch.double))
    assert torch.equal(weights.dense()[1], torch.zeros(2, 1, 4, dtype=torch.double))
    assert pooled[0].isfinite().all()
    pooled.sum().backward()
    assert sequence.grad is not None
    assert not sequence.grad[1].any()
    for parameter in (sequence, *pooling.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=4), extra=st.integers(1, 5))
def test_padding_changes_nothing(lengths: list[int], extra: int) -> None:
    pooling = double(3, 5, heads=2, positions=13)
    longest = max(*lengths, 1) if len(lengths) > 1 else max(lengths[0], 1)
    sequence = torch.randn(len(lengths), longest + extra, 3, dtype=torch.double)
    mask = torch.arange(longest + extra) < torch.tensor(lengths)[:, None]
    wide, wide_weights = pooling(sequence, mask)
    narrow, weights = pooling(sequence[:, :longest], mask[:, :longest])
    torch.testing.assert_close(wide, narrow)
    torch.testing.assert_close(wide_weights.dense()[..., :longest], weights.dense())
    sums = wide_weights.dense().sum(-1).squeeze(-1)
    torch.testing.assert_close(sums, (mask.any(1)[:, None]).double().expand(-1, 2))


def test_no_mask_against_a_mask_of_all_tokens() -> None:
    pooling = double(3, 5)
    sequence = torch.randn(2, 7, 3, dtype=torch.double)
    torch.testing.assert_close(
        pooling(sequence)[0], pooling(sequence, torch.ones(2, 7, dtype=torch.bool))[0]
    )


def test_parts_are_pooled_as_if_alone() -> None:
    pooling = double(3, 5, heads=2)
    sequence = torch.randn(2, 7, 3, dtype=torch.double)
    parts = torch.zeros(2, 3, 7, dtype=torch.bool)
    parts[:, 0, :2] = parts[:, 1, 2:7] = True
    pooled, weights = pooling(sequence, parts)
    assert pooled.shape == (2, 3, 6)
    assert weights.shape == (2, 2, 3, 7)
    torch.testing.assert_close(pooled[:, 0], pooling(sequence[:, :2])[0])
    torch.testing.assert_close(pooled[:, 1], pooling(sequence[:, 2:])[0])
    assert not pooled[:, 2].any()


def test_position_bias_favours_a_position() -> None:
    pooling = AttentionPooling(3, positions=5)
    with torch.no_grad():
        assert pooling.position is not None
        pooling.position[0, 3] = 50.0
    sequence = torch.randn(2, 5, 3)
    torch.testing.assert_close(pooling(sequence)[0], sequence[:, 3])


def test_wrong_sizes() -> None:
    with pytest.raises(InputError, match="heads=0"):
        AttentionPooling(3, heads=0)
    with pytest.raises(ShapeError, match="6 tokens, but the position bias has 5"):
        AttentionPooling(3, positions=5)(torch.randn(1, 6, 3))


def test_it_finds_the_planted_token() -> None:
    """The label is one feature of the one marked token; elsewhere that feature is noise."""
    torch.manual_seed(1)
    pooling, output = AttentionPooling(8, 8), torch.nn.Linear(8, 2)
    optimizer = torch.optim.Adam([*pooling.parameters(), *output.parameters()], lr=0.03)

    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        sequence = torch.randn(count, 11, 8)
        position, label = torch.randint(11, (count,)), torch.randint(2, (count,))
        sequence[..., 0] = 0.0
        sequence[torch.arange(count), position, 0] = 3.0
        sequence[torch.arange(count), position, 1] = 2.0 * label - 1.0
        return sequence, position, label

    for _ in range(300):
        sequence, _, label = draw(64)
        loss = torch.nn.functional.cross_entropy(output(pooling(sequence)[0]), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sequence, position, label = draw(500)
    pooled, weights = pooling(sequence)
    assert (output(pooled).argmax(1) == label).float().mean() > 0.95
    assert (weights.dense().argmax(-1)[:, 0, 0] == position).float().mean() > 0.95
