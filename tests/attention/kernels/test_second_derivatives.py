"""Second derivatives and forward mode, against plain operations of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import forward_ad

import regard
from regard.attention import scores
from regard.attention.arrays import TILE_BYTES
from regard.attention.kernels import limits

LENGTH = 29
BEHIND = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"mask": regard.causal()},
    "additive": {"score": scores.Additive(torch.linspace(-1, 1, 8))},
    "bias": {"bias": -0.1 * torch.arange(LENGTH, dtype=torch.float32)[None]},
    "capped": {"score": scores.Capped(scores.Additive(torch.linspace(-1, 1, 8)), 0.5)},
    "sink": {"normalizer": regard.normalizers.Softmax(torch.tensor([0.5, -1.0, 2.0, 0.0]))},
}
# torch.func's forward mode compiles its decompositions by what torch has deprecated.
torch_func = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
SIZES = (0, 2**60)  # of limits.FUSED_MIN_WEIGHTS: the fused kernel, or never


@pytest.fixture
def three():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, heads, LENGTH, 8, generator=generator).requires_grad_()
        for heads in (4, 2, 2)
    ]


def dense(name, query, key, value):
    """Output, entropy and log-sum-exp by the definition."""
    key, value = (x.repeat_interleave(2, 1) for x in (key, value))
    if name in ("additive", "capped"):
        pairs = torch.tanh(query[:, :, :, None] + key[:, :, None])
        matrix = pairs @ CASES["additive"]["score"].vector
    else:
        matrix = query @ key.mT / 8**0.5
    if name == "causal":
        matrix = matrix.masked_fill(~BEHIND, -torch.inf)
    if name == "bias":
        matrix = matrix + CASES["bias"]["bias"]
    if name == "capped":
        matrix = 0.5 * torch.tanh(matrix / 0.5)
    weights = matrix.softmax(-1)
    lse = matrix.logsumexp(-1)
    if name == "sink":
        below = CASES["sink"]["normalizer"].sink[:, None, None].expand(2, 4, LENGTH, 1)
        both = torch.cat((matrix, below), -1)
        weights, lse = both.softmax(-1)[..., :-1], both.logsumexp(-1)
    entropy = -(weights * weights.where(weights > 0, 1).log()).sum(-1)
    return weights @ value, entropy, lse


def penalty(loss, inputs):
    """The gradient of the squared norm of the gradient."""
    slopes = torch.autograd.grad(loss, inputs, create_graph=True)
    return torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)


@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_against_plain_operations(monkeypatch, three, name, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    output, *others = dense(name, *three)
    for watch in ((), ("entropy", "lse")):
        found, weights = regard.attend(*three, watch=watch, **CASES[name])
        loss, expected = found.square().sum(), output.square().sum()
        if watch:
            loss = loss + weights.entropy().square().sum() + weights.lse().square().sum()
            expected = expected + sum(x.square().sum() for x in others)
        for one, other in zip(penalty(loss, three), penalty(expected, three), strict=True):
            assert (one - other).abs().max() < 1e-4 * other.abs().max()
        output, *others = dense(name, *three)
    loss, expected = ((x**2).sum() for x in (weights @ three[2], output))
    for one, other in zip(penalty(loss, three), penalty(expected, three), strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max()


@pytest.mark.parametrize("least", SIZES)
def test_second_derivatives_of_many_tiles_and_one_tensor_in_three_roles(monkeypatch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    monkeypatch.setattr("regard.attention.problem.split_rows", in_tiles_of_seven)
    x = torch.randn(1, 2, LENGTH, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    output, _ = regard.attend(x, x, x)
    expected = (x @ x.mT / 8**0.5).softmax(-1) @ x
    (found,), (exact,) = (penalty(y.square().sum(), [x]) for y in (output, expected))
    assert (found - exact).abs().max() < 1e-4 * exact.abs().max()


def in_tiles_of_seven(rows, row_bytes, max_bytes=TILE_BYTES, *, max_rows=None):
    return [slice(start, min(rows, start + 7)) for start in range(0, rows, 7)]


@pytest.mark.parametrize("least", SIZES)
def test_second_derivatives_with_dropout(monkeypatch, three, least):
    """Those of the kernel's output are those of the tiles, which drop the same weights."""
    results = []
    for size in (least, 2**60):
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", size)
        output, _ = regard.attend(*three, dropout=0.3, seed=5)
        results.append(penalty(output.square().sum(), three))
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max()


def test_first_derivatives_are_those_of_the_kernel(monkeypatch, three):
    """The way round the kernel is taken only by a backward pass that is to be differentiated."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    output, _ = regard.attend(*three, watch=("entropy",))
    monkeypatch.setattr("regard.attention.problem.Problem.weights", None)
    monkeypatch.setattr("regard.attention.problem.Problem.output", None)
    assert all(x.isfinite().all() for x in torch.autograd.grad(output.sum(), three))


@torch_func
@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize("watch", [(), ("entropy",)])
def test_forward_mode(monkeypatch, three, watch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    query, key, value = (x.detach() for x in three)
    direction = torch.randn(query.shape, generator=torch.Generator().manual_seed(2))

    def found(query):
        output, weights = regard.attend(query, key, value, watch=watch)
        return output, weights.entropy(), weights.lse()

    expected = torch.func.jvp(
        lambda query: dense("plain", query, key, value), (query,), (direction,)
    )
    tangents = torch.func.jvp(found, (query,), (direction,))[1]
    torch.testing.assert_close(tangents, expected[1], rtol=1e-4, atol=1e-5)
    with forward_ad.dual_level():
        dual = found(forward_ad.make_dual(query, direction))
        tangents = tuple(forward_ad.unpack_dual(x).tangent for x in dual)
    torch.testing.assert_close(tangents, expected[1], rtol=1e-4, atol=1e-5)


@torch_func
@pytest.mark.parametrize("least", SIZES)
def test_derivatives_by_torch_func(monkeypatch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 1, 5, 4, generator=generator) for _ in range(3))

    def of(attention):
        return lambda query: attention(query).square().sum()

    ours = of(lambda query: regard.attend(query, key, value, mask=regard.causal())[0])
    plain = of(
        lambda query: (
            (query @ key.mT / 2).masked_fill(~BEHIND[:5, :5], -torch.inf).softmax(-1) @ value
        )
    )
    for transform in (
        torch.func.grad,
        torch.func.hessian,
        lambda f: torch.func.jacrev(torch.func.grad(f)),
    ):
        torch.testing.assert_close(
            transform(ours)(query), transform(plain)(query), rtol=1e-4, atol=1e-5
        )
