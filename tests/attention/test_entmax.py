"""Entmax of any order: against closed forms and bisection, gradients of two orders, tiles, transforms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import regard
from regard.attention.entmax import entmax
from regard.attention.normalizers import Entmax, Entmax15, Softmax, Sparsemax

INF = math.inf
ALPHAS = (0.5, 1.0, 1 + 1e-5, 1.01, 1.3, 1.5, 1.9, 2.0, 3.0)


def rows_of_scores(dtype):
    """Rows that are narrow, wide, tied and masked."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(6, 120)) * np.array([[0.1], [1], [5], [40], [1], [1]])
    scores[4, ::3], scores[5, :2] = -INF, 4.0
    return scores.astype(dtype)


def bisected(row, alpha):
    """`(u + beta s_j)_+^(1 / beta)` with the `u` for which the row sums to 1, in extended precision."""
    row = row.astype(np.longdouble)
    row, beta = row - row.max(), np.longdouble(alpha) - 1
    if beta == 0:
        return np.exp(row) / np.exp(row).sum()
    ends = np.sort(np.array([len(row) ** -beta, 1]))
    for _ in range(80):
        middle = ends.mean()
        raised = middle + beta * row
        weights = np.where(raised > 0, np.abs(raised) ** (1 / beta), 0)
        too_much = weights.sum() > 1
        ends[int(too_much == (beta > 0))] = middle
    return weights


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_against_bisection(alpha, dtype, tolerance):
    scores = rows_of_scores(dtype)
    found = entmax(scores, np.asarray(alpha, dtype))
    for row, weights in zip(scores, found, strict=True):
        seen, exact = row > -INF, np.zeros(len(row), np.longdouble)
        exact[seen] = bisected(row[seen], np.asarray(alpha, dtype))
        assert np.abs(weights - exact).max() < tolerance
        assert abs(float(weights.sum()) - 1) < tolerance


@pytest.mark.parametrize(
    ("alpha", "closed"), [(1.0, Softmax()), (1.5, Entmax15()), (2.0, Sparsemax())]
)
def test_against_closed_forms(alpha, closed, library):
    scores = library(rows_of_scores("float32"))
    np.testing.assert_allclose(Entmax(alpha)(scores), closed(scores), atol=5e-7)


def test_two_keys_by_hand():
    """At alpha = 3, beta = 2: sqrt(u) + sqrt(u - 2 d) = 1 for scores 0 and -d, so u = (1 / 2 + d)^2."""
    found = Entmax(3.0)(np.array([[0.0, -0.3], [0.0, -0.6]]))
    np.testing.assert_allclose(found, [[0.8, 0.2], [1.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.0001, 1.5, 2.3])
def test_derivatives_of_scores_and_alpha(alpha):
    """The first ones and the second ones, through a mask."""
    torch.manual_seed(0)
    scores = torch.randn(3, 7, dtype=torch.float64) * 1.5
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[0, 2:4] = hidden[1] = True
    alphas = torch.tensor([[alpha], [alpha], [alpha + 0.2]], dtype=torch.float64)

    def masked(scores, alpha):
        return entmax(scores.masked_fill(hidden, -INF), alpha)

    inputs = scores.requires_grad_(), alphas.requires_grad_()
    assert torch.autograd.gradcheck(masked, inputs, atol=1e-6)
    assert torch.autograd.gradgradcheck(masked, inputs, atol=1e-5)


def test_the_derivative_of_alpha_against_the_paper():
    """Correia, Niculae and Martins 2019, equation 10, at alpha = 1.5."""
    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    scores = torch.tensor([0.3, 1.0, -0.2, -2.5], dtype=torch.float64)
    weights = entmax(scores, alpha[None])
    found = torch.stack([torch.autograd.grad(w, alpha, retain_graph=True)[0] for w in weights])
    p = weights.detach()
    share = p.sqrt() / p.sqrt().sum()
    logs = torch.special.xlogy(p, p)
    torch.testing.assert_close(found, (p - share) / 0.25 - (logs - share * logs.sum()) / 0.5)


def test_transforms_of_jax_and_torch():
    scores = rows_of_scores("float32")[:3, :9]
    in_jax, in_torch = jnp.asarray(scores), torch.from_numpy(scores)

    def loss(scores, alpha):
        return (Entmax(alpha)(scores) ** 2).sum()

    alpha = torch.tensor(1.3, requires_grad=True)
    (expected,) = torch.autograd.grad(loss(in_torch, alpha), alpha)
    assert float(jax.jit(jax.grad(loss, 1))(in_jax, jnp.float32(1.3))) == pytest.approx(
        float(expected), rel=1e-4
    )
    assert float(torch.func.grad(loss, 1)(in_torch, torch.tensor(1.3))) == pytest.approx(
        float(expected), rel=1e-4
    )
    each = torch.func.vmap(lambda a: loss(in_torch, a))(torch.tensor([1.3, 1.8]))
    torch.testing.assert_close(each, torch.stack([loss(in_torch, a) for a in (1.3, 1.8)]))


@pytest.mark.parametrize("mask", [None, regard.causal(), regard.padding([31, 0])])
def test_attend_by_tiles_with_a_learned_alpha(mask, monkeypatch):
    """Output, statistics and gradients of tiles are those of the whole, masked rows included."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, heads, 31, 8, dtype=torch.float64) for heads in (4, 2, 2))
    raw = torch.linspace(-1, 1, 4, dtype=torch.float64)
    results = []
    for rows in (100, 7):
        monkeypatch.setattr(
            "regard.attention.problem.split_rows",
            lambda count, *_, rows=rows: [
                slice(start, min(count, start + rows)) for start in range(0, count, rows)
            ],
        )
        inputs = [x.detach().requires_grad_() for x in (q, k, v, raw)]
        normalizer = Entmax(1 + torch.sigmoid(inputs[3]))
        output, weights = regard.attend(*inputs[:3], normalizer=normalizer, mask=mask)
        loss = output.square().sum() + weights.entropy().sum()
        results.append((output, weights.received(), *torch.autograd.grad(loss, inputs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    if mask is None:
        exact = Entmax(1 + torch.sigmoid(raw))(q @ k.repeat_interleave(2, 1).mT / 8**0.5)
        torch.testing.assert_close(weights.dense().detach(), exact)
    assert (results[0][-1] != 0).all()
