"""Pointer attention: the paper's formula term by term, coverage, gradients, and the copy distribution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.layers import PointerAttention, copy_distribution

MASK = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("coverage", [True, False])
def test_weights_against_the_papers_formula(coverage: bool) -> None:
    r"""`softmax(v . tanh(W_h h + W_s s + w_c c + b))`, term by term (See et al. 2017, equations 1 and 11)."""
    layer = PointerAttention(4, 6, hidden=3, coverage=coverage)
    key, query, before = torch.randn(3, 5, 6), torch.randn(3, 2, 4), torch.rand(3, 2, 5)
    weights = layer(query, layer.project_keys(key), key, coverage=before, mask=MASK)[1]
    projected_key, projected = layer.project_keys(key), layer.query(query)
    for b, q in ((b, q) for b in range(3) for q in range(2)):
        inner = [projected[b, q] + projected_key[b, k] for k in range(5)]
        if layer.covered is not None:
            inner = [x + before[b, q, k] * layer.covered for k, x in enumerate(inner)]
        scores = torch.stack([x.tanh() @ layer.vector for x in inner])
        expected = scores.masked_fill(~MASK[b], -torch.inf).softmax(0)
        torch.testing.assert_close(weights[b, q], expected)


def test_coverage_is_the_sum_of_all_weights_before() -> None:
    layer = PointerAttention(4, 6)
    assert layer.covered is not None
    with torch.no_grad():
        layer.covered.fill_(-2.0)
    key = torch.randn(3, 5, 6)
    projected_key, coverage = layer.project_keys(key), torch.zeros(3, 1, 5)
    weights_so_far = []
    for _ in range(3):
        context, weights, after = layer(
            torch.randn(3, 1, 4), projected_key, key, coverage=coverage, mask=MASK
        )
        torch.testing.assert_close(context, weights @ key)
        weights_so_far.append(weights)
        torch.testing.assert_close(after, torch.stack(weights_so_far).sum(0))
        coverage = after
    torch.testing.assert_close(coverage.sum(-1), torch.full((3, 1), 3.0))


def test_coverage_changes_the_weights() -> None:
    layer = PointerAttention(4, 6)
    assert layer.covered is not None
    with torch.no_grad():
        layer.covered.copy_(-3.0 * layer.vector.sign())
    key = torch.randn(1, 5, 6)
    mask, query = torch.ones(1, 5, dtype=torch.bool), torch.randn(1, 1, 4)
    covered = torch.tensor([[[2.0, 0, 0, 0, 0]]])
    fresh = layer(query, layer.project_keys(key), key, coverage=covered * 0, mask=mask)[1]
    later = layer(query, layer.project_keys(key), key, coverage=covered, mask=mask)[1]
    assert later[0, 0, 0] < fresh[0, 0, 0]


@pytest.mark.parametrize("coverage", [True, False])
def test_pointer_gradients(coverage: bool) -> None:
    layer = PointerAttention(4, 3, hidden=2, coverage=coverage).double()
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    before = torch.rand(3, 2, 5, dtype=torch.float64, requires_grad=True)

    def run(query: Tensor, key: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        return layer(query, layer.project_keys(key), key, coverage=before, mask=MASK)

    assert torch.autograd.gradcheck(run, (query, key, before))


def test_a_word_at_two_positions_is_copied_with_both_weights() -> None:
    weights = torch.tensor([[[0.5, 0.25, 0.25]]])
    copied = copy_distribution(weights, torch.tensor([[4, 6, 4]]), 7)
    assert copied.tolist() == [[[0, 0, 0, 0, 0.75, 0, 0.25]]]
