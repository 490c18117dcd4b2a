"""Attention with one head: its scores against loops, one step against the whole, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.attention import padding
from regard.layers import BahdanauAttention, LuongScore, SingleHeadAttention

LENGTHS = torch.tensor([5, 2, 1])
MASK = torch.arange(5) < LENGTHS[:, None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def make_layer(name: str) -> SingleHeadAttention:
    if name == "additive":
        return BahdanauAttention(4, 4, hidden=3).double()
    return LuongScore(4, 4, kind=name).double()  # type: ignore[arg-type]


def reference_scores(name: str, layer: SingleHeadAttention, query: Tensor, key: Tensor) -> Tensor:
    """Scores written out, one pair at a time."""
    weights = dict(layer.named_parameters())

    def score(s: Tensor, h: Tensor) -> Tensor:
        if name == "dot":
            return s @ h
        if name == "general":
            return s @ weights["key.weight"] @ h
        inner = weights["query.weight"] @ s + weights["key.weight"] @ h
        return weights["vector"] @ torch.tanh(inner)

    return torch.stack([torch.stack([score(s, h) for h in key]) for s in query])


@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_against_the_papers_formula(name: str) -> None:
    layer = make_layer(name)
    query, key = torch.randn(3, 2, 4).double(), torch.randn(3, 5, 4).double()
    context, weights = layer(query, key, mask=padding(LENGTHS))
    for row, length in enumerate(LENGTHS):
        scores = reference_scores(name, layer, query[row], key[row, :length])
        torch.testing.assert_close(weights.dense()[row, :, :length], scores.softmax(-1))
        torch.testing.assert_close(context[row], scores.softmax(-1) @ key[row, :length])
        assert not weights.dense()[row, :, length:].any()


@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_a_step_against_attend(name: str) -> None:
    layer = make_layer(name)
    query, key = torch.randn(3, 2, 4).double(), torch.randn(3, 5, 4).double()
    value = torch.randn(3, 5, 7).double()
    context, weights = layer(query, key, value, mask=padding(LENGTHS))
    step_context, step_weights = layer.attend_step(query, layer.project_keys(key), value, MASK)
    torch.testing.assert_close(step_context, context)
    torch.testing.assert_close(step_weights, weights.dense())


@pytest.mark.parametrize("method", ["forward", "attend_step"])
@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_gradients(name: str, method: str) -> None:
    layer = make_layer(name)
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, query: Tensor, key: Tensor) -> Tensor:
            if method == "forward":
                return layer(query, key, mask=padding(LENGTHS))[0]
            return layer.attend_step(query, layer.project_keys(key), key, MASK)[0]

    module = Run()

    def run(query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        values = {f"layer.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(module, values, (query, key))

    assert torch.autograd.gradcheck(run, (query, key, *layer.parameters()), fast_mode=True)
