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


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(sorted(QUESTIONS)),
    watch=st.sets(st.sampled_from(["entropy", "topk", "pool"])),
    mask=st.sampled_from(sorted(MASKS)),
    length=st.sampled_from([126, 61]),
)
def test_the_order_of_questions_is_in_no_bit(small_tiles, order, watch, mask, length):
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
def test_answers_against_float64(mask, library):
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


def test_one_pass_answers_all(passes):
    _, weights = regard.attend(*inputs(), watch=())
    assert not passes
    weights.max_score()
    assert passes == ["attend"]
    for name in ("entropy", "lse", "topk", "three", "pool", "larger"):
        QUESTIONS[name](weights)
    assert passes == ["attend"]
    weights.received()
    assert passes == ["attend", "received"]
    weights.received()
    weights.pool()
    assert passes == ["attend", "received"]


def test_a_watched_pass_begins_the_second_one(passes):
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


def test_nan_is_where_it_is_seen():
    q, k, v = inputs()
    q[0, 1, 7] = math.nan
    _, weights = regard.attend(q, k, v)
    received, pool = weights.received(), weights.pool(10, 10)
    assert received[0, 1].isnan().all()
    assert not received[1].isnan().any()
    assert pool.mean[0, 1, 0].isnan().all()
    assert not pool.mean[0, 1, 1:].isnan().any()
