"""Questions to a map: whichever comes first, the answers are the same bits, and the others are free."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard
from regard.attention.kernels import limits
from regard.attention.kernels.fused import cpu
from regard.compiled import threads

QUESTIONS = {
    "entropy": lambda weights: weights.entropy(),
    "lse": lambda weights: weights.lse(),
    "max_score": lambda weights: weights.max_score(),
    "topk": lambda weights: weights.topk(),
    "three": lambda weights: weights.topk(3),
    "twenty": lambda weights: weights.topk(20),
    "received": lambda weights: weights.received(),
    "pool": lambda weights: weights.pool(),
    "larger": lambda weights: weights.pool(32, 16),
    "other": lambda weights: weights.pool(5, 7),
}
MASKS = {
    "none": None,
    "causal": regard.causal(),
    "array": torch.rand(126, 126, generator=torch.Generator().manual_seed(2)) > 0.3,
}


@pytest.fixture(autouse=True)
def fused_at_any_size(monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)


@pytest.fixture(params=["whole rows", "tiles of keys"])
def way(request, monkeypatch):
    """Whether a tile holds all keys: the two ways of the kernel."""
    if request.param == "tiles of keys":
        request.getfixturevalue("small_tiles")
        monkeypatch.setattr(limits, "FUSED_MIN_KEY_BLOCK", 1)
    return request.param


@pytest.fixture
def passes(monkeypatch):
    """Names of the passes over the matrix, as they run."""
    ran: list[str] = []
    for name in ("attend", "received"):
        monkeypatch.setattr(cpu, name, counted(name, getattr(cpu, name), ran))
    return ran


def counted(name, function, ran):
    def call(*arguments, **options):
        ran.append(name)
        return function(*arguments, **options)

    return call


def inputs(length=126, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, width, generator=generator) for _ in range(3)]


def numbers(answer):
    """The arrays of an answer, as NumPy's."""
    return [np.asarray(x) for x in (answer if isinstance(answer, tuple) else (answer,))]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(sorted(QUESTIONS)),
    watch=st.sets(st.sampled_from(["entropy", "topk", "pool"])),
    mask=st.sampled_from(sorted(MASKS)),
    length=st.sampled_from([126, 61]),
)
def test_the_order_of_questions_is_in_no_bit(way, order, watch, mask, length):
    allowed = MASKS[mask]
    if isinstance(allowed, torch.Tensor):
        allowed = allowed[:length, :length]
    q, k, v = inputs(length)
    _, weights = regard.attend(q, k, v, mask=allowed, watch=tuple(watch))
    _, again = regard.attend(q, k, v, mask=allowed, watch=tuple(watch))
    found = {name: QUESTIONS[name](weights) for name in sorted(QUESTIONS)}
    for name in order:
        for one, other in zip(numbers(QUESTIONS[name](again)), numbers(found[name]), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("library", [torch.as_tensor, np.asarray], ids=["torch", "numpy"])
def test_answers_against_float64(way, mask, library):
    q, k, v = inputs()
    allowed = MASKS[mask]
    exact = regard.attend(q.double(), k.double(), v.double(), mask=allowed)[1]
    if isinstance(allowed, torch.Tensor):
        allowed = library(allowed)
    _, weights = regard.attend(*(library(x) for x in (q, k, v)), mask=allowed)
    for name in ("received", *QUESTIONS):  # the second pass first
        found, expected = (numbers(QUESTIONS[name](x)) for x in (weights, exact))
        assert found[0].dtype == np.float32
        np.testing.assert_allclose(found[0], expected[0], atol=3e-6, rtol=1e-6, err_msg=name)
        if name in ("pool", "larger", "other"):
            np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
        elif len(found) == 2:  # keys of weight 0 are in no order
            np.testing.assert_array_equal(*(x[1] * (expected[0] > 0) for x in (found, expected)))


def test_one_pass_answers_all(passes, way):
    _, weights = regard.attend(*inputs(), watch=())
    both = ["attend"] if way == "whole rows" else ["attend", "received"]
    assert not passes
    weights.max_score()
    assert passes == ["attend"]
    for name in ("entropy", "lse", "topk", "three", "pool", "larger"):
        QUESTIONS[name](weights)
    assert passes == ["attend"]
    weights.received()
    assert passes == both
    weights.received()
    weights.pool()
    assert passes == both


@pytest.mark.parametrize("way", ["tiles of keys"], indirect=True)
def test_a_watched_pass_begins_the_second_one(passes, way):
    _, weights = regard.attend(*inputs(), watch=("entropy",))
    weights.received()
    assert passes == ["attend", "received"]
    weights.lse()
    assert passes == ["attend", "received"]
    weights.topk()  # nor does it ask what is known again
    assert passes == ["attend", "received", "attend"]


def test_lists_of_any_length(passes):
    _, weights = regard.attend(*inputs())
    longest = weights.topk(20)
    for k in (1, 8, 13):
        found = weights.topk(k)
        assert torch.equal(found.values, longest.values[..., :k])
        assert torch.equal(found.positions, longest.positions[..., :k])
    weights.entropy()
    assert passes == ["attend"]


def test_what_has_no_gradient_only_for_now_is_not_kept():
    q, k, v = (x.requires_grad_() for x in inputs())
    _, weights = regard.attend(q, k, v)
    with torch.no_grad():
        without = weights.lse()
        weights.entropy()
    assert not without.requires_grad
    weights.lse().sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()
    torch.testing.assert_close(
        weights.entropy().detach(), regard.attend(q, k, v)[1].entropy().detach()
    )


def test_a_bias_that_learns_is_asked_by_tiles():
    q, k, v = inputs(24)
    bias = torch.zeros(24, 24, requires_grad=True)
    _, weights = regard.attend(q, k, v, bias=bias)
    (weights.received() * torch.arange(24)).sum().backward()
    assert bias.grad is not None
    assert bias.grad.abs().max() > 0


def test_nan_is_where_it_is_seen(way):
    q, k, v = inputs()
    q[0, 1, 7] = math.nan
    _, weights = regard.attend(q, k, v)
    received, pool = weights.received(), weights.pool(10, 10)
    assert received[0, 1].isnan().all()
    assert not received[1].isnan().any()
    assert pool.mean[0, 1, 0].isnan().all()
    assert not pool.mean[0, 1, 1:].isnan().any()


def test_columns_of_several_tiles_of_queries(monkeypatch):
    """Few keys and many queries: each tile has sums of its own, whichever worker took it."""
    generator = torch.Generator().manual_seed(4)
    q = torch.randn(1, 2, 1101, 16, generator=generator)
    k = torch.randn(1, 2, 205, 16, generator=generator)
    seen = torch.rand(1101, 205, generator=generator) > 0.2
    seen[530] = False
    found = regard.attend(q, k, k, mask=seen, watch=("pool", "received"))[1]
    exact = regard.attend(q.double(), k.double(), k.double(), mask=seen)[1]
    torch.testing.assert_close(found.received().double(), exact.received(), atol=1e-5, rtol=3e-7)
    for one, other in zip(found.pool(), exact.pool(), strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-6, rtol=1e-6)
    for workers in (1, 3):
        monkeypatch.setattr(threads, "thread_count", lambda count=workers: count)
        again = regard.attend(q, k, k, mask=seen, watch=("pool", "received"))[1]
        assert torch.equal(again.received(), found.received())
        assert torch.equal(again.pool().mean, found.pool().mean)


@pytest.mark.parametrize("keys", [41, 130, 190, 250, 317, 503])
def test_narrow_blocks(keys):
    """Of 1 to 8 keys, by a loop for the width or by the edges; the last block is what is left."""
    generator = torch.Generator().manual_seed(6)
    q, k = (torch.randn(1, 1, n, 4, generator=generator) for n in (97, keys))
    found, exact = (
        regard.attend(x, y, y, mask=regard.causal(), watch=("pool",))[1].pool()
        for x, y in ((q, k), (q.double(), k.double()))
    )
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-6, rtol=1e-6)
