"""Luong attention: the attentional vector, local windows, gradients, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.attention import padding
from regard.errors import InputError, ShapeError
from regard.layers import LocalM, LocalP, LuongAttention, LuongScore

LENGTHS = torch.tensor([5, 2, 1])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("where", [None, LocalM(1), LocalP(2)])
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_luong_gradients(score: str, where: LocalM | LocalP | None) -> None:
    layer = LuongAttention(4, 4, score=score, where=where).double()  # type: ignore[arg-type]
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, values, (query, key), {"mask": padding(LENGTHS)})[
            0
        ]

    assert torch.autograd.gradcheck(run, (query, key, *layer.parameters()), fast_mode=True)


def test_the_attentional_vector_against_the_papers_formula() -> None:
    layer = LuongAttention(3, 5)
    query, key = torch.randn(2, 4, 3), torch.randn(2, 6, 5)
    vector, weights = layer(query, key)
    context = weights.dense() @ key
    combine = torch.cat([layer.combine.context.weight, layer.combine.query.weight], 1)
    torch.testing.assert_close(vector, torch.tanh(torch.cat([context, query], -1) @ combine.T))


def test_local_m_attends_to_a_window_around_its_own_position() -> None:
    layer = LuongAttention(3, 3, where=LocalM(1))
    query, key = torch.randn(1, 4, 3), torch.randn(1, 6, 3)
    seen = layer(query, key)[1].dense()[0] > 0
    expected = (torch.arange(4)[:, None] - torch.arange(6)).abs() <= 1
    assert torch.equal(seen, expected)
    one, whole = layer(query[:, 2:3], key, first=2)[1], layer(query, key)[1]
    torch.testing.assert_close(one.dense(), whole.dense()[:, 2:3])


def test_local_p_attends_around_the_predicted_position() -> None:
    layer = LuongAttention(3, 3, where=LocalP(2))
    query, key = torch.randn(2, 4, 3), torch.zeros(2, 9, 3)
    lengths = torch.tensor([9, 6])
    assert layer.place is not None
    centres = layer.place(query, lengths[:, None])
    assert ((centres >= 0) & (centres <= lengths[:, None])).all()
    weights = layer(query, key, mask=padding(lengths))[1].dense()
    distance = torch.arange(9) - centres[..., None]
    inside = (distance.abs() <= 2) & (torch.arange(9) < lengths[:, None, None])
    gauss = torch.exp(-(distance**2) / 2) * inside
    torch.testing.assert_close(weights, (gauss / gauss.sum(-1, keepdim=True)).nan_to_num())


@pytest.mark.parametrize("where", [LocalM(1), LocalP(2)])
def test_positions_that_bfloat16_cannot_represent(where: LocalM | LocalP) -> None:
    layer = LuongAttention(3, 3, where=where).to(torch.bfloat16)
    query, key = torch.randn(1, 4, 3).bfloat16(), torch.randn(1, 900, 3).bfloat16()
    if layer.place is None:
        seen = layer(query, key, first=601)[1].dense()[0] > 0
        assert torch.equal(seen, (torch.arange(601, 605)[:, None] - torch.arange(900)).abs() <= 1)
    else:
        share = layer.place(query, torch.tensor([[1]]))
        torch.testing.assert_close(layer.place(query, torch.tensor([[900]])), 900 * share)
        assert share.dtype == torch.float32


def test_wrong_scores_and_widths_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'general'"):
        LuongScore(3, 3, kind="generall")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="queries have 3 features, keys 5"):
        LuongScore(3, 5, kind="dot")
