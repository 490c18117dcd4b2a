"""Attention in plain operations: the same numbers, within the context alone."""

from __future__ import annotations

import pytest
import torch

import regard
from regard.attention import kernels
from regard.attention.exporting import exporting, is_exporting


def test_the_same_output_without_a_kernel(monkeypatch):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 6, 8)
    key, value = key[:, ::2], value[:, ::2]
    expected, weights = regard.attend(query, key, value, mask=regard.causal())
    for name in ("output", "one_pass", "statistics", "matmul"):
        monkeypatch.setattr(kernels, name, None)  # whoever calls it fails
    with exporting():
        output, plain = regard.attend(query, key, value, mask=regard.causal())
        torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(plain.dense(), weights.dense(), atol=1e-6, rtol=0)


def test_the_context_ends_with_an_error():
    with pytest.raises(KeyError), exporting():
        {"nothing": 0}[str(is_exporting())]
    assert not is_exporting()
