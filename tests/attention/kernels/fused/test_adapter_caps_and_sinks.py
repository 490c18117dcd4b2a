"""Capped scores and sinks of softmax in the kernels, against float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.attention import scores
from regard.attention.kernels import limits
from regard.attention.kernels.fused import adapter, torch_ops
from regard.attention.masks import as_mask
from regard.attention.normalizers import Softmax
from regard.attention.scores import Additive, Capped, ScaledDot

SINK = torch.tensor([0.3, -2.0, 4.0, 0.0, 1.5, -math.inf])
HALF = torch.rand(2, 1, 43, 61, generator=torch.Generator().manual_seed(0)) > 0.5
HALF[:, :, 3] = False


def arrays(size=1.0, queries=43, keys=61, features=16, values=11):
    generator = torch.Generator().manual_seed(0)
    shapes = (6, queries, features), (3, keys, features), (3, keys, values)
    q, k, v = (torch.randn(2, *shape, generator=generator) for shape in shapes)
    return size * q, k, v


@pytest.mark.parametrize("mask", [None, HALF, regard.window(7)], ids=["none", "half", "window"])
@pytest.mark.parametrize(("cap", "sink"), [(3.0, None), (None, SINK), (3.0, SINK)])
def test_statistics(helpers, small_tiles, cap, sink, mask):
    """Scores of up to 40: the cap matters. Rows that see nothing give all to the sink, and zeros remain."""
    q, k, v = arrays(5.0)
    score = ScaledDot() if cap is None else Capped(ScaledDot(), cap)
    output, found = helpers.run(q, k, v, score=score, normalizer=Softmax(sink), mask=mask)
    everything = slice(0, 43), slice(0, 61)
    layout = helpers.problem(q, k, v).layout
    allowed = None if mask is None else as_mask(mask).tile(layout, *everything)
    weights = helpers.dense(q, k, allowed, cap=cap, sink=sink)
    helpers.check(output, found, weights, v, 2e-6 if cap else 6e-6, sink)
    assert output.isfinite().all()


@pytest.mark.parametrize("mask", [HALF[:1], regard.causal()], ids=["half", "causal"])
def test_a_negative_scale_and_a_bias_beside_the_cap(helpers, device, mask):
    """The bias is added after the cap. On both devices; few heads, as an interpreter is slow."""
    q, k, v = (x[:1, :count] for x, count in zip(arrays(5.0), (2, 1, 1), strict=True))
    bias = torch.randn(1, 2, 43, 61)
    bias[..., 5], bias[0, 1, 7, 9] = -math.inf, math.inf
    score, sink = Capped(ScaledDot(-0.3), 2.0), SINK[:2]
    output, found = helpers.run(
        q, k, v, score=score, normalizer=Softmax(sink), bias=bias, mask=mask
    )
    everything = slice(0, 43), slice(0, 61)
    allowed = as_mask(mask).tile(helpers.problem(q, k, v).layout, *everything)
    large = bias.clamp_max(1e6)
    weights = helpers.dense(q, k, allowed, large, scale=-0.3, cap=2.0, sink=sink)
    helpers.check(output, found, weights, v, sink=sink)


def test_additive_scores_are_capped(helpers, small_tiles):
    q, k, v = arrays()
    vector = torch.linspace(-2, 3, 16)
    output, found = helpers.run(q, k, v, score=Capped(Additive(vector), 0.7))
    helpers.check(output, found, helpers.dense(q, k, vector=vector, cap=0.7), v)


def test_numpy(helpers):
    q, k, v = arrays()
    parts = {"score": Capped(ScaledDot(), 3), "normalizer": Softmax(SINK.numpy())}
    output, found = helpers.run(*(x.numpy() for x in (q, k, v)), **parts)
    assert isinstance(output, np.ndarray)
    helpers.check(output, found, helpers.dense(q, k, cap=3, sink=SINK), v, sink=SINK)


@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e30, -1e30])
def test_sinks_of_any_size(helpers, bad):
    """An infinite one takes all the weight, as a bias of +inf does; one that is NaN is not hidden."""
    q, k, v = arrays()
    parts = {"normalizer": Softmax(torch.tensor([0.0, bad, 0.0, 0.0, 0.0, 0.0])), "mask": HALF}
    output, found = helpers.run(q, k, v, **parts)
    weights = helpers.problem(q, k, v, **parts).weights(slice(0, 43))
    assert torch.equal(output[:, 1].isnan().any(-1), weights[:, 1].isnan().any(-1))
    assert output[:, 1].isnan().all() == math.isnan(bad)
    assert output[:, [0, 2, 3, 4, 5]].isfinite().all()
    for answer in (found["received",], found["entropy",], found["topk", 5][0]):
        assert answer[:, 1].isnan().all() == math.isnan(bad)
        if bad > 0:
            assert not answer[:, 1].any()


def test_the_log_of_what_is_below_the_line(helpers, small_tiles):
    """`exp(score - lse)` is the weight; of a row that sees nothing the sink is all that is below the line."""
    q, k, _ = arrays()
    found = []

    def spy(*flat, attend=torch_ops.attend):
        found.append(attend(*flat))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_ops, "attend", spy)
        helpers.run(q, k, k, statistics=(), normalizer=Softmax(SINK), mask=HALF)
    matrix = q.double() @ k.double().repeat_interleave(2, 1).mT / 4
    below = SINK.double()[:, None].expand(2, 6, 43)
    exact = torch.logaddexp(matrix.masked_fill(~HALF, -math.inf).logsumexp(-1), below)
    torch.testing.assert_close(found[0][1], exact, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("inner", ["dot", "additive"])
def test_gradients(helpers, small_tiles, dropout, inner):
    """Of query, key, value, vector and sink, through output and entropy, against the tiles in float64."""
    generator = torch.Generator().manual_seed(1)
    of_output = torch.randn(2, 6, 43, 11, generator=generator).double()
    of_entropy = torch.randn(2, 6, 43, generator=generator).double()
    vector = torch.linspace(-2, 3, 16)

    def slopes(kernel, *given):
        inputs = [x.clone().requires_grad_() for x in given]
        q, k, v, vector, sink = inputs
        score = Capped(Additive(vector) if inner == "additive" else ScaledDot(), 1.5)
        problem = helpers.problem(q, k, v, score=score, normalizer=Softmax(sink), mask=HALF)
        if kernel:
            together = adapter.one_pass(problem, (("entropy",),), dropout=dropout, seed=7)
            assert together is not None
            output, entropy = together[0], together[1]["entropy",]
        else:
            weights = problem.weights(slice(0, 43))
            output = problem.output(slice(0, 43), dropout, 7)
            entropy = -(weights * weights.where(weights > 0, 1).log()).sum(-1)
        loss = (output * of_output).sum() + (entropy * of_entropy).sum()
        return torch.autograd.grad(loss, inputs, allow_unused=True)

    given = [*arrays(2.0), vector, SINK.clamp_min(-3)]
    ours, exact = slopes(True, *given), slopes(False, *(x.double() for x in given))
    for name, mine, other in zip(("q", "k", "v", "vector", "sink"), ours, exact, strict=True):
        if name == "vector" and inner == "dot":
            assert other is None
            continue
        assert helpers.difference(mine, other) < 5e-6 * max(1.0, float(other.abs().max())), name


def test_gradients_of_a_block_know_cap_and_sink(helpers, small_tiles):
    """As `regard.distributed` asks for them, from the log-sum-exp of whole rows."""
    given = [x.requires_grad_() for x in arrays(2.0)]
    problem = helpers.problem(
        *given, score=Capped(ScaledDot(), 1.5), normalizer=Softmax(SINK), mask=HALF
    )
    output = problem.output(slice(0, 43), 0.0, 0)
    exact = torch.autograd.grad(output.sum(), given)
    rows = adapter.rows(problem, 0)
    assert rows is not None
    with torch.no_grad():
        ones, constant = torch.ones_like(output), -output.sum(-1)
        found = adapter.gradients(problem, ones, rows.lse, constant, torch.zeros_like(constant))
    for mine, other in zip(found, exact, strict=True):
        assert helpers.difference(mine, other) < 1e-5 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("shape", [(), (1,), (6,), (6, 1, 1), (2, 1, 1, 1), (2, 6, 1, 1)])
def test_every_shape_of_a_sink_gets_its_gradient(monkeypatch, shape):
    given = arrays()
    slopes: list[torch.Tensor] = []
    for least in (0, 2**60):
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
        sink = torch.linspace(-1, 2, math.prod(shape)).reshape(shape).requires_grad_()
        output, weights = regard.attend(
            *given, normalizer=Softmax(sink), mask=regard.causal(), watch=("entropy",)
        )
        loss = output.square().sum() + weights.entropy().sum()
        slopes += torch.autograd.grad(loss, sink)
    assert slopes[0].shape == shape
    torch.testing.assert_close(*slopes, rtol=2e-5, atol=2e-5)


def test_later_answers_and_products_take_the_sink(monkeypatch):
    """`weights @ x`, `weights.T @ g`, and statistics that were not asked for along with the output."""
    q, k, v = arrays()
    parts: dict[str, Any] = {
        "score": Capped(ScaledDot(), 2), "normalizer": Softmax(SINK), "mask": HALF,
    }  # fmt: skip
    exact, matrix = regard.attend(*(x.double() for x in (q, k, v)), **parts)
    for least in (0, 2**60):
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
        output, weights = regard.attend(q, k, v, **parts)
        assert (output - exact).abs().max() < 2e-6
        for ask in ("entropy", "received", "dense", "lse", "max_score"):
            found, other = (getattr(x, ask)().nan_to_num(neginf=-99.0) for x in (weights, matrix))
            assert (found - other).abs().max() < 3e-6, ask
        assert (weights @ v - exact).abs().max() < 2e-6
        assert (weights.T @ q - matrix.T @ q.double()).abs().max() < 1e-5


@pytest.mark.parametrize("least", [0, 2**60])
def test_one_key_beside_a_sink_has_an_entropy(monkeypatch, least):
    """-(w log w) of w = 1/2: more than log(1), the bound on rows that sum to 1."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    x = torch.zeros(1, 1, 1, 4)
    for watch in ((), ("entropy",)):
        _, weights = regard.attend(x, x, x, normalizer=Softmax(sink=0), watch=watch)
        assert float(weights.entropy()) == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_a_cap_bounds_the_scores_of_later_statistics(helpers):
    """Beyond 32, float32 rounds scores too coarsely for the kernel; capped ones of any size it takes."""
    q, k, v = arrays(200.0)
    assert not adapter.fits_float32(helpers.problem(q, k, v))
    assert adapter.fits_float32(helpers.problem(q, k, v, score=Capped(ScaledDot(), 32)))
    assert not adapter.fits_float32(helpers.problem(q, k, v, score=Capped(ScaledDot(), 50)))


def test_a_cap_within_a_cap_is_left_to_the_tiles(helpers):
    q, k, v = arrays()
    nested = Capped(Capped(ScaledDot(), 2), 1)
    assert not adapter.fits(helpers.problem(q, k, v, score=nested))
    output, _ = regard.attend(q, k, v, score=nested)
    once = 2 * torch.tanh(q.double() @ k.double().repeat_interleave(2, 1).mT / 4 / 2)
    exact = torch.tanh(once).softmax(-1) @ v.double().repeat_interleave(2, 1)
    assert helpers.difference(output, exact) < 2e-6


class Steep(scores.Capped):
    """A subclass with a cap of its own, which no kernel knows."""

    def pairwise(self, query, key):
        return self.cap * torch.clamp(self.score.pairwise(query, key) / self.cap, -1, 1)


class Emptied(Softmax):
    """A subclass of softmax that ignores its sink."""

    def __call__(self, scores, *, first_row=0):
        return scores.softmax(-1)


def test_subclasses_decide(monkeypatch, helpers):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    q, k, v = arrays(5.0)
    output, _ = regard.attend(
        q, k, v, score=Steep(ScaledDot(), 2.0), normalizer=Emptied(SINK), watch=("entropy",)
    )
    matrix = (q.double() @ k.double().repeat_interleave(2, 1).mT / 4).clamp(-2, 2)
    exact = matrix.softmax(-1) @ v.double().repeat_interleave(2, 1)
    assert helpers.difference(output, exact) < 2e-6
