"""A learned score or normaliser of a layer is trained, converted, copied and saved with it."""

import copy

import pytest
import torch
from torch import nn

from regard.attention import normalizers, scores
from regard.layers import BahdanauAttention, MultiHeadAttention


@pytest.fixture
def layer():
    alpha, scale = nn.Parameter(torch.tensor([1.2, 1.8])), nn.Parameter(torch.tensor([0.5, 0.7]))
    return MultiHeadAttention(
        8, 2, score=scores.ScaledDot(scale), normalizer=normalizers.Entmax(alpha)
    )


def test_they_are_parameters_of_the_layer_and_have_gradients(layer):
    names = dict(layer.named_parameters())
    assert {"score_scale", "normalizer_alpha"} <= set(names)
    layer(torch.randn(2, 5, 8))[0].square().sum().backward()
    assert names["normalizer_alpha"].grad.abs().min() > 0
    assert names["score_scale"].grad.abs().min() > 0


def test_what_becomes_of_the_layer_becomes_of_them(layer):
    x = torch.randn(2, 5, 8)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        layer.normalizer.alpha.fill_(2.0)
    assert twin.normalizer.alpha is twin.normalizer_alpha
    assert not torch.equal(layer(x)[1].dense(), twin(x)[1].dense())
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x)[1].dense(), twin(x)[1].dense())
    assert twin.double().normalizer.alpha.dtype == torch.float64
    assert twin(x.double())[0].dtype == torch.float64


def test_attention_of_one_head():
    alpha = nn.Parameter(torch.tensor(1.4))
    layer = BahdanauAttention(4, 6, normalizer=normalizers.Entmax(alpha))
    assert "normalizer_alpha" in dict(layer.named_parameters())
