"""Positions as layers."""

from __future__ import annotations

import pytest
import torch

from regard.attention import causal
from regard.errors import InputError
from regard.layers import (
    LearnedPositions,
    MultiHeadAttention,
    RotaryPositions,
    SinusoidalPositions,
)


def test_learned_positions_are_rows_of_a_table() -> None:
    positions = LearnedPositions(7, 3)
    assert torch.equal(positions(2, first=3), positions.table[3:5])
    positions(2, first=3).sum().backward()
    assert positions.table.grad is not None
    assert positions.table.grad.sum(1).tolist() == [0, 0, 0, 3, 3, 0, 0]


def test_a_sequence_longer_than_the_table_is_refused() -> None:
    with pytest.raises(InputError, match="a sequence of 8 tokens needs as many learned positions"):
        LearnedPositions(7, 3)(3, first=5)


@pytest.mark.parametrize("first", [0, 500, 5000])
def test_sinusoids_have_no_limit(first: int) -> None:
    vectors = SinusoidalPositions(6)(20, first=first).double()
    position = torch.arange(first, first + 20).double()
    torch.testing.assert_close(vectors[:, 0], torch.sin(position), atol=1e-3, rtol=0)
    angle = position / 10_000 ** (4 / 6)
    torch.testing.assert_close(vectors[:, 5], torch.cos(angle), atol=1e-4, rtol=0)


def test_rotary_attention_depends_on_distances_only() -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(16, 2, positions=RotaryPositions()).double()
    x = torch.randn(1, 5, 16, dtype=torch.float64)
    shifted = torch.cat([torch.randn(1, 3, 16, dtype=torch.float64), x], 1)
    weights = layer(x, mask=causal())[1].dense()
    later = layer(shifted, mask=causal())[1].dense()[:, :, 3:, 3:]
    torch.testing.assert_close(later / later.sum(-1, keepdim=True), weights)
