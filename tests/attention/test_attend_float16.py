"""float16 on a processor: computed in float32 by every path, and rounded once, at the end."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard import scores
from regard.attention.kernels import limits

pytestmark = pytest.mark.filterwarnings("error")

LENGTH = 37


def score(name):
    generator = torch.Generator().manual_seed(1)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "General": [(16, 16)],
        "Additive": [(16,)],
        "Concat": [(8,), (32, 8)],
        "Location": [(LENGTH, 16)],
    }
    learned = [torch.randn(shape, generator=generator) for shape in shapes.get(name, [])]
    return getattr(scores, name)(*learned)


def in_float64(score):
    learned = {name: x.double() for name, x in vars(score).items() if isinstance(x, torch.Tensor)}
    return dataclasses.replace(score, **learned)


@pytest.mark.parametrize("least", [0, 2**60], ids=["fused", "other"])
@pytest.mark.parametrize(
    "name", ["ScaledDot", "Dot", "General", "Cosine", "Additive", "Concat", "Location"]
)
def test_every_score_against_float64(name, least, monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    torch.manual_seed(0)
    halves = [torch.randn(1, 2, LENGTH, width).half().requires_grad_() for width in (16, 16, 8)]
    exact = [x.detach().double().requires_grad_() for x in halves]
    options: dict[str, Any] = {"mask": regard.causal(), "watch": ("entropy", "received")}
    output, weights = regard.attend(*halves, score=score(name), **options)
    expected, others = regard.attend(*exact, score=in_float64(score(name)), **options)
    assert output.dtype == torch.float16
    torch.testing.assert_close(output.double(), expected, atol=1e-4, rtol=2**-10)
    # Statistics are those of float32, not rounded to float16.
    for statistic in ("entropy", "received"):
        one, other = (getattr(each, statistic)() for each in (weights, others))
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)
    found, slopes = (
        torch.autograd.grad(each.double().square().sum(), inputs, allow_unused=True)
        for each, inputs in ((output, halves), (expected, exact))
    )
    for one, other in zip(found, slopes, strict=True):
        if other is not None:
            limit = 2**-9 * float(other.abs().max())
            torch.testing.assert_close(one.double(), other, atol=limit, rtol=0)


@pytest.mark.parametrize("library", [np.asarray, torch.asarray])
@pytest.mark.parametrize("least", [0, 2**60], ids=["fused", "other"])
def test_no_overflow_where_scores_or_projections_exceed_65504(library, least, monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    x = np.random.default_rng(0).normal(size=(1, 1, 9, 16))
    large = library((x * 3000).astype(np.float16))
    values, wide = library(x.astype(np.float16)), np.asarray(large, np.float64)
    weight = library((np.eye(16) * 100).astype(np.float16))
    for each in (scores.Dot(), scores.General(weight)):
        output, _ = regard.attend(large, large, values, score=each)
        assert "float16" in str(output.dtype)
        best = (wide @ wide.swapaxes(-1, -2)).argmax(-1)
        np.testing.assert_array_equal(
            np.asarray(output)[0, 0], np.asarray(values)[0, 0][best[0, 0]]
        )
