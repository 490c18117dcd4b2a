"""Compiled log-sum-exp and top-k against torch's."""

from __future__ import annotations

import pytest
import torch

from regard.compiled.topk import MIN_COMPILED_SCORES, logsumexp, topk

SIZES = [(31, 8003), (1100, 131), (2, MIN_COMPILED_SCORES // 2)]


@pytest.mark.parametrize("shape", SIZES)
def test_logsumexp_against_torch(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = 20 * torch.randn(shape)
    logits[0] = -torch.inf
    logits[0, 5] = 1.5
    logits[1, ::3] = -torch.inf
    expected = logits.double().logsumexp(-1).float()
    torch.testing.assert_close(logsumexp(logits)[0], expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("count", [1, 5, 70])
def test_topk_against_a_sorted_row(shape: tuple[int, int], count: int) -> None:
    torch.manual_seed(0)
    scores = (4 * torch.randn(shape)).round()  # many of them equal
    values, indices = topk(scores, count, logsumexp(scores)[1])
    ordered = scores.sort(dim=-1, descending=True, stable=True)
    assert torch.equal(values, ordered.values[:, :count])
    assert torch.equal(indices, ordered.indices[:, :count])


@pytest.mark.parametrize("shape", SIZES)
def test_block_maxima_serve_scores_that_were_lowered_since(
    shape: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    scores = (4 * torch.randn(shape)).round()
    _, block_maxima = logsumexp(scores)
    scores[:, ::2] = -torch.inf
    scores[1] -= 3
    ordered = scores.sort(dim=-1, descending=True, stable=True)
    values, indices = topk(scores, 5, block_maxima)
    assert torch.equal(values, ordered.values[:, :5])
    assert torch.equal(indices, ordered.indices[:, :5])


def test_a_row_with_too_few_ends_in_minus_infinity() -> None:
    scores = torch.full((20, 8000), -torch.inf)
    scores[:, 7999], scores[:, 64] = 2.0, 1.0
    values, indices = topk(scores, 4, logsumexp(scores)[1])
    assert values[0].tolist() == [2.0, 1.0, -torch.inf, -torch.inf]
    assert indices[0, :2].tolist() == [7999, 64]


def test_other_numbers_are_left_to_torch() -> None:
    scores = torch.randn(20, 8000, dtype=torch.float64)
    normalizer, block_maxima = logsumexp(scores)
    assert torch.equal(normalizer, scores.logsumexp(-1))
    assert torch.equal(topk(scores, 3, block_maxima)[0], scores.topk(3).values)
