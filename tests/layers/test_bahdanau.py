"""Bahdanau attention by hand; tests of all single-head attentions are in test_single_head.py."""

from __future__ import annotations

import math

import pytest
import torch

from regard.layers import BahdanauAttention


def test_additive_by_hand() -> None:
    layer = BahdanauAttention(1, 1, hidden=1)
    with torch.no_grad():
        layer.query.weight.fill_(1.0)
        layer.key.weight.fill_(2.0)
        layer.vector.fill_(3.0)
    context, weights = layer(torch.tensor([[[0.5]]]), torch.tensor([[[0.0], [1.0]]]))
    e = [3 * math.tanh(0.5), 3 * math.tanh(2.5)]
    first = 1 / (1 + math.exp(e[1] - e[0]))
    assert weights.dense()[0, 0].tolist() == pytest.approx([first, 1 - first], abs=1e-6)
    assert context.item() == pytest.approx(1 - first, abs=1e-6)
