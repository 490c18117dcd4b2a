"""`attend` against its parts, in `regard.check`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import regard
from regard.attention import positions, scores
from regard.attention.check_attend import arrays_in, attend_contract, gradient_contract
from regard.attention.kernels import limits
from regard.attention.kernels.fused import adapter
from regard.attention.normalizers import Softmax
from regard.attention.problem import make_problem


class Held(positions.Bias):
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner

    def tile(self, layout, rows, columns):
        raise NotImplementedError


def test_arrays_are_found_wherever_they_are_held():
    one, two, three = (torch.zeros(n, requires_grad=True) for n in (1, 2, 3))

    def closure():
        return three

    class Closed(positions.Bias):
        def tile(self, layout, rows, columns):
            return closure()

    found = arrays_in(Held([{"a": one}, (two,)]))
    assert {id(x) for x in found} == {id(one), id(two)}
    assert arrays_in(Closed())[0] is three
    module = torch.nn.Linear(2, 3)
    assert {x.shape for x in arrays_in(Held(module))} == {(3, 2), (3,)}
    assert not arrays_in(regard.causal())
    assert arrays_in(scores.General(np.eye(2)))[0].shape == (2, 2)


def problem_and_inputs():
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, 2, 9, 4, generator=generator) for _ in range(3)]
    problem = make_problem(
        *inputs, score=scores.ScaledDot(), normalizer=Softmax(), mask=None, bias=None
    )
    return problem, inputs


def test_a_kernel_that_is_wrong_is_found(monkeypatch):
    """A kernel that took any score for a dot product, as the first version of this library did."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    problem, inputs = problem_and_inputs()
    assert not attend_contract(problem, inputs, {})
    assert not gradient_contract(problem, inputs, {}, [])

    class Doubled(scores.ScaledDot):
        def pairwise(self, query, key):
            return 2 * super().pairwise(query, key)

    doubled = Doubled()
    problem = make_problem(*inputs, score=doubled, normalizer=Softmax(), mask=None, bias=None)
    assert not attend_contract(problem, inputs, {"score": doubled})
    for place in ("fused.adapter", "torch_flash"):
        monkeypatch.setattr(
            f"regard.attention.kernels.{place}.dot_factor", lambda score, features: 0.5
        )
    found = attend_contract(problem, inputs, {"score": doubled})
    assert any(text.startswith("the output is off") for text, _ in found)
    assert any(text.startswith("entropy()") for text, _ in found)
    found = gradient_contract(problem, inputs, {"score": doubled}, [])
    assert any("the gradient of query" in text for text, _ in found)


@pytest.mark.parametrize("name", ["lse", "max_score"])
def test_a_kernel_whose_scores_have_another_size_is_found(monkeypatch, name):
    """Scores off by one number for all keys of a query leave its weights, and all else, as they are."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    _, inputs = problem_and_inputs()
    normalizer, mask = Softmax(sink=0.5), regard.padding([7])
    problem = make_problem(
        *inputs, score=scores.ScaledDot(), normalizer=normalizer, mask=mask, bias=None
    )
    parts = {"normalizer": normalizer, "mask": mask}
    assert not attend_contract(problem, inputs, parts)
    run = adapter._run_torch

    def shifted(call):
        results = run(call)
        return results._replace(**{name: getattr(results, name) + 0.01})

    monkeypatch.setattr(adapter, "_run_torch", shifted)
    found = attend_contract(problem, inputs, parts)
    assert len(found) == 2  # alone and along with the output
    assert all(text.startswith(f"{name}()") for text, _ in found)


def test_a_bias_that_masks_by_a_large_number_or_by_infinity_is_right():
    bias = np.zeros((9, 9), np.float32)
    bias[:2], bias[3, 4], bias[5] = -1e30, np.inf, -np.inf
    problem, inputs = problem_and_inputs()
    problem = make_problem(
        *inputs, score=problem.score, normalizer=Softmax(), mask=None, bias=positions.as_bias(bias)
    )
    assert not attend_contract(problem, inputs, {"bias": problem.bias})
