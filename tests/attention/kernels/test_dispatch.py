"""Fast paths answer for what a user's own score, normaliser, mask and bias really compute, at any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import array_api_compat as compat
import numpy as np
import pytest
import torch

import regard
from regard.attention import masks, normalizers, positions, scores
from regard.attention.kernels import limits
from regard.attention.masks import Mask

SIZES = (0, 2**60)  # of limits.FUSED_MIN_WEIGHTS: the fused kernel, or never
WATCH = ((), ("entropy", "lse", "max_score", "topk", "pool", "received"))
LENGTH = 37


def library_of(array):
    return compat.array_namespace(array)


class Capped(scores.ScaledDot):
    """Scores capped by tanh."""

    def pairwise(self, query, key):
        score = super().pairwise(query, key)
        return 2 * library_of(score).tanh(score / 2)


class CappedAdditive(scores.Additive):
    def pairwise(self, query, key):
        score = super().pairwise(query, key)
        return 0.2 * library_of(score).tanh(score / 0.2)


class Doubled(scores.ScaledDot):
    """Another factor, which a kernel takes."""

    def factor(self, features):
        return 2 * super().factor(features)


class Turned(scores.ScaledDot):
    """Another projection, which every path takes."""

    def project(self, query, key):
        return super().project(-query, key)


class DotWithVector(scores.Dot):
    """A dot product that has a `vector` of its own and is no additive score."""

    vector = 7.0


class Sink(normalizers.Softmax):
    """Softmax with one more score, 0, that takes weight and has no key."""

    def __call__(self, scores, *, first_row=0):
        xp = library_of(scores)
        raised = xp.exp(scores)
        return raised / (1 + xp.sum(raised, axis=-1, keepdims=True))


class EvenCausal(type(regard.causal())):  # type: ignore[misc]
    """Its tile leaves out keys that the inherited ranges name."""

    def tile(self, layout, rows, columns):
        return super().tile(layout, rows, columns) & (layout.positions(columns) % 2 == 0)


class WrongRanges(Mask):
    """Its ranges are not those of its tile."""

    def tile(self, layout, rows, columns):
        behind = layout.positions(columns) <= layout.positions(rows)[:, None]
        return behind[None, None]

    def intervals(self, layout):
        low = layout.positions(slice(0, layout.queries))[None, None] * 0
        return low, low + 1


class PaddingByRow(type(regard.padding(np.ones((1, 1), bool)))):  # type: ignore[misc]
    """Says that all queries see the same keys, as its base does; its tile does not."""

    def tile(self, layout, rows, columns):
        behind = layout.positions(columns) <= layout.positions(rows)[:, None]
        return super().tile(layout, rows, columns) & behind


class TwoAxes(Mask):
    """A tile without leading axes."""

    def tile(self, layout, rows, columns):
        return layout.positions(columns) <= layout.positions(rows)[:, None]


class InNumPy(positions.Bias):
    """A tile of NumPy, whatever the library of the problem."""

    def tile(self, layout, rows, columns):
        rows, columns = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        return -0.1 * abs(rows[:, None] - columns)[None, None]


CASES: dict[str, dict[str, Any]] = {
    "softcap": {"score": Capped()},
    "another factor": {"score": Doubled()},
    "another projection": {"score": Turned()},
    "an attribute named vector": {"score": DotWithVector()},
    "sink": {"normalizer": Sink()},
    "tile overridden": {"mask": EvenCausal(None, 0)},
    "tile overridden, combined": {"mask": EvenCausal(None, 0) & regard.window(9)},
    "wrong ranges": {"mask": WrongRanges()},
    "not one row for all": {"mask": PaddingByRow(np.ones((1, LENGTH), bool))},
    "two axes": {"mask": TwoAxes()},
    "bias of NumPy": {"bias": InNumPy()},
}


def dense(problem, value):
    """The matrix and the output from the methods that the user wrote, each called once."""
    layout, rows = problem.layout, slice(0, problem.layout.queries)
    everything = slice(0, layout.keys)
    score = problem.score.pairwise(problem.query, problem.key)
    if problem.bias is not None:
        score = score + layout.asarray(problem.bias.tile(layout, rows, everything), layout.dtype)
    if problem.mask is not None:
        allowed = problem.mask.tile(layout, rows, everything)
        score = layout.xp.where(allowed, score, -np.inf)
    weights = problem.normalizer(score)
    return weights, weights @ value


def inputs(library):
    made = np.random.default_rng(0).standard_normal((3, 2, 2, LENGTH, 8)).astype(np.float32)
    return [library(x) for x in made * 2]


@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize("watch", WATCH)
@pytest.mark.parametrize("name", CASES)
def test_what_a_subclass_overrides_decides(monkeypatch, helpers, library, name, watch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    given = SimpleNamespace(**{"score": None, "mask": None, "bias": None} | CASES[name])
    normalizer = CASES[name].get("normalizer", normalizers.Softmax())
    query, key, value = inputs(library)
    problem = helpers.problem(
        query, key, value, score=given.score, mask=given.mask, bias=given.bias
    )
    object.__setattr__(problem, "normalizer", normalizer)
    weights, expected = (np.asarray(x, np.float64) for x in dense(problem, value))
    output, found = regard.attend(query, key, value, watch=watch, **CASES[name])
    near: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(np.asarray(output), expected, **near)
    np.testing.assert_allclose(np.asarray(found.dense()), weights, **near)
    np.testing.assert_allclose(np.asarray(found.received()), weights.sum(-2), **near)
    np.testing.assert_allclose(np.asarray(found @ value), expected, **near)
    np.testing.assert_allclose(
        np.asarray(found.T @ value), np.swapaxes(weights, -1, -2) @ np.asarray(value), **near
    )
    logs = np.log(np.where(weights > 0, weights, 1))
    np.testing.assert_allclose(np.asarray(found.entropy()), -(weights * logs).sum(-1), **near)
    largest = -np.sort(-weights, axis=-1)[..., :8]
    np.testing.assert_allclose(np.asarray(found.topk().values), largest, **near)
    assert (
        abs(
            np.asarray(found.pool(5, 5).mean)[..., 0, 0] - weights[..., :8, :8].mean((-1, -2))
        ).max()
        < 1e-5
    )


class ListBias(positions.Bias):
    """Its parameter lies in a list of dictionaries."""

    def __init__(self, slope):
        self.parts = [{"slope": slope}]

    def tile(self, layout, rows, columns):
        distance = (layout.positions(rows)[:, None] - layout.positions(columns)).abs()
        return self.parts[0]["slope"][:, None, None] * distance


class ModuleBias(torch.nn.Module, positions.Bias):
    def __init__(self, slope):
        super().__init__()
        self.inner = torch.nn.ParameterList([slope])

    def tile(self, layout, rows, columns):
        return ListBias(self.inner[0]).tile(layout, rows, columns)


def closure_bias(slope):
    class Closure(positions.Bias):
        __slots__ = ()

        def tile(self, layout, rows, columns):
            return ListBias(slope).tile(layout, rows, columns)

    return Closure()


@dataclass(frozen=True, eq=False)
class LearnedFactor(scores.Dot):
    """A factor that is an array, which no kernel takes."""

    scale: torch.Tensor

    def factor(self, features):
        return self.scale[:, None, None]


class LearnedAdditive(scores.AdditiveScore):
    """An additive vector made anew at each call from a parameter in a list."""

    def __init__(self, parameter):
        self.parts = [parameter]

    @property
    def vector(self):
        return self.parts[0].repeat(4)

    def project(self, query, key):
        return query, key


LEARNED: dict[str, Callable[[torch.Tensor], dict[str, Any]]] = {
    "list": lambda p: {"bias": ListBias(p)},
    "module": lambda p: {"bias": ModuleBias(p)},
    "closure": lambda p: {"bias": closure_bias(p)},
    "array": lambda p: {"bias": p[:, None, None] * torch.arange(LENGTH)},
    "factor": lambda p: {"score": LearnedFactor(p)},
    "scale": lambda p: {"score": scores.ScaledDot(p)},
    "additive": lambda p: {"score": LearnedAdditive(p)},
    "capped scale": lambda p: {"score": scores.Capped(scores.ScaledDot(p), 0.7)},
    "capped additive": lambda p: {"score": scores.Capped(LearnedAdditive(p), 0.3)},
    "sink": lambda p: {"normalizer": normalizers.Softmax(p)},
}


@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize("watch", WATCH)
@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_parameter_gets_its_gradient(monkeypatch, helpers, name, watch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    parameter = torch.nn.Parameter(torch.tensor([-0.2, 0.1]))
    query, key, value = inputs(torch.from_numpy)
    make = LEARNED[name]
    _, expected = dense(helpers.problem(query, key, value, **make(parameter)), value)
    (slope,) = torch.autograd.grad(expected.square().sum(), parameter)
    for product in (False, True):
        output, weights = regard.attend(query, key, value, watch=watch, **make(parameter))
        output = weights @ value if product else output
        (found,) = torch.autograd.grad(output.square().sum(), parameter)
        torch.testing.assert_close(found, slope, rtol=1e-4, atol=1e-4)
        assert weights.entropy().requires_grad
    with torch.no_grad():
        output, _ = regard.attend(query, key, value, watch=watch, **make(parameter))
        torch.testing.assert_close(output, expected)


def test_a_tile_that_is_no_mask_is_an_error():
    class Numbers(Mask):
        def tile(self, layout, rows, columns):
            return np.ones((1, 1, 3, 3))

    class Narrow(Mask):
        def tile(self, layout, rows, columns):
            return np.ones((2, 3), bool)

    x = np.eye(3)
    with pytest.raises(regard.errors.MaskError, match=r"Numbers\.tile returned float64"):
        regard.attend(x, x, x, mask=Numbers())
    with pytest.raises(regard.errors.MaskError, match=r"Narrow\.tile returned shape \(2, 3\)"):
        regard.attend(x, x, x, mask=Narrow())


def test_a_tile_that_is_no_bias_is_an_error():
    class Whole(positions.Bias):
        def tile(self, layout, rows, columns):
            return np.ones((1, 1, 3, 3), int)

    class Narrow(positions.Bias):
        def tile(self, layout, rows, columns):
            return np.ones((3, 2))

    x = np.eye(3)
    with pytest.raises(regard.errors.InputError, match=r"Whole\.tile returned int64"):
        regard.attend(x, x, x, bias=Whole())
    with pytest.raises(regard.errors.ShapeError, match=r"Narrow\.tile returned shape \(3, 2\)"):
        regard.attend(x, x, x, bias=Narrow())


def test_scores_and_weights_of_another_shape_are_errors():
    class OneColumn(scores.Dot):
        def pairwise(self, query, key):
            return super().pairwise(query, key)[..., :1]

    class Transposed(scores.Dot):
        def project(self, query, key):
            return query[:, :, :2], key

    class Summed(normalizers.Softmax):
        def __call__(self, scores, *, first_row=0):
            return super().__call__(scores).sum(-1)

    x = np.eye(3)
    with pytest.raises(regard.errors.ShapeError, match=r"OneColumn\.pairwise returned"):
        regard.attend(x, x, x, score=OneColumn())
    with pytest.raises(regard.errors.ShapeError, match=r"Transposed\.project returned queries"):
        regard.attend(x, x, x, score=Transposed())
    with pytest.raises(regard.errors.ShapeError, match="Summed returned shape"):
        regard.attend(x, x, x, normalizer=Summed())


def test_a_range_of_ones_own_takes_the_kernel(monkeypatch, helpers):
    """A subclass of `IntervalMask` that defines its ranges alone is fast: its tile follows from them."""

    class Behind(masks.IntervalMask):
        def intervals(self, layout):
            position = layout.positions(slice(0, layout.queries))[None, None]
            return position * 0, position + 1

    query, key, value = inputs(torch.from_numpy)
    problem = helpers.problem(query, key, value, mask=Behind())
    ranges = problem.key_ranges()
    assert ranges is not None
    output, _ = regard.attend(query, key, value, mask=Behind())
    expected, _ = regard.attend(query, key, value, mask=regard.causal())
    assert torch.allclose(output, expected, atol=1e-6)
