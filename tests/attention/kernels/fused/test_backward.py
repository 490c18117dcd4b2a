"""Gradients of the kernel against the slow twin in float64, whose own are checked by gradcheck."""

from __future__ import annotations

import math

import pytest
import torch

import regard
from regard.attention import random, scores
from regard.attention.kernels import limits
from regard.attention.kernels.fused import adapter
from regard.attention.kernels.fused.partition import make_backward_plan


def differentiate(function, arrays, arrived):
    """The gradients of what `function` returns, weighted by `arrived`."""
    arrays = [x.detach().clone().requires_grad_() for x in arrays]
    loss = sum((out * g).sum() for out, g in zip(function(*arrays), arrived, strict=True))
    return torch.autograd.grad(loss, arrays)


def compare(helpers, arrays, *, additive=False, dropout=0.0, tolerance=3e-6, **settings):
    generator = torch.Generator().manual_seed(3)
    q, _, v = arrays[:3]
    lengths = q.shape[:3]
    arrived = [torch.randn(*lengths, v.shape[-1], generator=generator)]
    arrived.append(torch.randn(lengths, generator=generator))

    def score(vector):
        return scores.Additive(vector[0]) if additive else scores.ScaledDot()

    def kernel(q, k, v, *vector):
        given = helpers.problem(q, k, v, score=score(vector), **settings)
        entropy = ("entropy",)
        together = adapter.one_pass(given, (entropy,), dropout=dropout, seed=11)
        assert together is not None
        output, found = together
        return output, found[entropy]

    def twin(q, k, v, *vector):
        given = helpers.problem(q, k, v, score=score(vector), **settings)
        rows = slice(0, q.shape[2])
        weights = given.weights(rows)
        entropy = torch.special.entr(weights.clamp_min(1e-300)).sum(-1)
        return given.output(rows, dropout, 11), entropy

    ours = differentiate(kernel, arrays, arrived)
    theirs = differentiate(twin, [x.double() for x in arrays], [g.double() for g in arrived])
    for mine, exact in zip(ours, theirs, strict=True):
        assert helpers.difference(mine, exact) < tolerance * max(1.0, float(exact.abs().max()))


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("score", [scores.ScaledDot(), scores.Additive(torch.ones(16) / 4)])
def test_a_nan_reaches_the_gradients_it_reaches_in_the_twin(helpers, where, score):
    given = [x[:1] for x in arrays()]
    given[where][0, 1, 7, 3] = math.nan
    arrived = [torch.ones(1, 6, 43, 11), torch.ones(1, 6, 43)]

    def kernel(*given):
        together = adapter.one_pass(helpers.problem(*given, score=score), (("entropy",),))
        assert together is not None
        output, found = together
        return output, found["entropy",]

    def twin(*given):
        problem = helpers.problem(*given, score=score)
        weights = problem.weights(slice(0, 43))
        return problem.output(slice(0, 43), 0.0, 0), torch.special.entr(weights).sum(-1)

    ours, theirs = differentiate(kernel, given, arrived), differentiate(twin, given, arrived)
    for mine, exact in zip(ours, theirs, strict=True):
        assert (mine.isnan() == exact.isnan()).all()


def arrays(queries=43, keys=61, heads=6, key_heads=3, features=16, values=11):
    generator = torch.Generator().manual_seed(0)
    shapes = (heads, queries, features), (key_heads, keys, features), (key_heads, keys, values)
    return [torch.randn(2, *shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        regard.causal() & regard.padding(torch.tensor([0, 50])),
        regard.window(5),
        torch.rand(2, 1, 43, 61, generator=torch.Generator().manual_seed(1)) > 0.5,
    ],
)
def test_scaled_dot(helpers, small_tiles, mask, dropout):
    compare(helpers, arrays(), mask=mask, dropout=dropout)


def test_biased_in_pieces(helpers, small_tiles, monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MASK_BYTES", 2**14)
    compare(helpers, arrays(), bias=regard.positions.ALiBi(), mask=regard.causal(), dropout=0.2)


def test_additive(helpers, small_tiles):
    vector = torch.randn(16, generator=torch.Generator().manual_seed(2)) / 3
    compare(helpers, [*arrays(), vector], additive=True, mask=regard.window(30), dropout=0.1)


@pytest.mark.parametrize("lengths", [(1, 1), (1, 700), (300, 1), (257, 513)])
def test_full_tiles(helpers, lengths):
    queries, keys = lengths
    compare(helpers, arrays(queries, keys, 2, 2), dropout=0.5, tolerance=1e-5)


def test_one_key_head_shared_by_all(helpers, small_tiles):
    q, k, v = arrays(key_heads=1)
    compare(helpers, [q, k, v])


@pytest.mark.parametrize("most", [1, 2, 4])
def test_few_heads_are_cut_in_ranges_of_keys(helpers, small_tiles, most, monkeypatch):
    monkeypatch.setattr(limits, "TILE_KEYS", 16)
    monkeypatch.setattr(limits, "MAX_KEY_RANGES", most)
    ranges = len(make_backward_plan(43, 61, pairs=1).key_ranges) - 1
    assert ranges == most
    compare(helpers, [x[:1] for x in arrays(heads=1, key_heads=1)], dropout=0.3)


def test_dropout_is_that_of_the_hash(helpers, small_tiles):
    q, k, _ = arrays()
    eye = torch.eye(61).expand(2, 3, -1, -1)
    thinned, _ = helpers.run(q, k, eye, dropout=0.25, seed=-9)
    kept = random.dropout_mask(-9, range(12), range(43), range(61), rate=0.25, like=q).view(
        2, 6, 43, 61
    )
    assert ((thinned != 0) == kept).all()
    assert helpers.difference(thinned, helpers.dense(q, k) * kept / 0.75) < 1e-6


def test_bfloat16_gradients_have_its_type(helpers):
    q, k, v = (x.bfloat16().requires_grad_() for x in arrays())
    output, _ = helpers.run(q, k, v, statistics=())
    output.sum().backward()
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    helpers.problem(*exact).output(slice(0, 43), 0.0, 0).sum().backward()
    for ours, twin in zip((q, k, v), exact, strict=True):
        assert ours.grad.dtype == torch.bfloat16
        assert helpers.difference(ours.grad, twin.grad) < 2**-7 * float(twin.grad.abs().max())


def test_attend_trains_through_the_kernel_with_dropout(monkeypatch):
    q, k, v = (x.requires_grad_() for x in arrays())
    found = []
    for small in (0, 2**60):  # the kernel, then the tiles
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", small)
        output, _ = regard.attend(q, k, v, dropout=0.3, seed=5)
        (source, _), *_ = output.grad_fn.next_functions
        names = [source.name(), *(one.name() for one, _ in source.next_functions if one)]
        assert any("regard_attend" in name for name in names) == (small == 0)
        found.append((output, *torch.autograd.grad(output.square().sum(), (q, k, v))))
    for ours, twin in zip(*found, strict=True):
        assert torch.allclose(ours, twin, atol=2e-5)


def test_statistics_without_a_gradient_say_so(helpers):
    q, k, v = (x.requires_grad_() for x in arrays())
    _, found = helpers.run(q, k, v)
    assert found["entropy",].requires_grad
    assert not found["topk", 5][0].requires_grad
    assert not found["pool", 7, 3][0].requires_grad
    assert not found["received",].requires_grad
