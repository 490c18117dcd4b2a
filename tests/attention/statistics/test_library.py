"""The statistics that are shipped, each against the whole matrix in float64."""

import math

import numpy as np
import pytest
import torch

import regard
from regard.attention.statistics import (
    MassWithinWindow,
    RenyiEntropy,
    ShareOnKeys,
    WeightedValues,
    WeightHistogram,
)
from regard.errors import InputError, ShapeError

QUERIES, KEYS = 7, 11


@pytest.fixture(params=["numpy", "torch", "jax"])
def case(request, libraries, rng, monkeypatch):
    """A map in one library, cut in both directions; its matrix in float64; and what makes arrays."""
    monkeypatch.setattr("regard.attention.statistics.tiles.MAX_COLUMNS", 4)
    monkeypatch.setattr(
        "regard.attention.problem.split_rows",
        lambda n, _: [slice(i, min(n, i + 3)) for i in range(0, n, 3)],
    )
    make = libraries[request.param]
    query, key = rng.normal(size=(2, 4, QUERIES, 5)), 2 * rng.normal(size=(2, 2, KEYS, 5))
    mask = rng.random((2, 4, QUERIES, KEYS)) < 0.6
    mask[0, 1, 2] = False
    value = rng.normal(size=(2, 2, KEYS, 3))
    weights = regard.attend(*map(make, (query, key, value)), mask=make(mask))[1]
    dense = np.exp(np.where(mask, query @ np.repeat(key, 2, 1).swapaxes(2, 3) / math.sqrt(5), -1e3))
    dense = np.where(mask, dense, 0)
    return weights, dense / np.maximum(dense.sum(-1, keepdims=True), 1e-300), mask, make


def close(found, wanted):
    found = np.asarray(found)
    assert found.shape == wanted.shape
    tolerance = 1e-13 if found.dtype == np.float64 else 3e-6
    np.testing.assert_allclose(found, wanted, atol=tolerance, rtol=tolerance)


def test_renyi_entropy(case):
    weights, dense, _, _ = case
    some, seen = dense > 0, dense.sum(-1) > 0
    for order in (0, 0.5, 2, 40):
        powers = np.where(some, np.where(some, dense, 1) ** order, 0).sum(-1)
        close(
            weights.statistic(RenyiEntropy(order)),
            np.where(seen, np.log(np.where(seen, powers, 1)) / (1 - order), 0),
        )
    close(weights.statistic(RenyiEntropy(1)), -(dense * np.log(np.where(some, dense, 1))).sum(-1))
    largest = np.where(seen, dense.max(-1), 1)
    close(weights.statistic(RenyiEntropy(math.inf)), -np.log(largest))
    # Not 0: the hundredth powers of these weights are below what float32 can hold.
    flat = regard.AttentionMap.from_dense(np.full((1, 1000), 0.001, np.float32))
    close(flat.statistic(RenyiEntropy(100)), np.array([math.log(1000)]))
    with pytest.raises(InputError, match="order -1"):
        RenyiEntropy(-1)


def test_gradients_of_renyi_entropy(rng):
    scores = torch.from_numpy(rng.normal(size=(1, 1, 3, 5)))
    scores[0, 0, 1] = -math.inf
    for order in (0.5, 1, 2, math.inf):

        def entropy(x, order=order):
            weights = torch.where(scores.isfinite(), x, -1e9).softmax(-1) * scores.isfinite()
            return regard.AttentionMap.from_dense(weights).statistic(RenyiEntropy(order))

        given = torch.where(scores.isfinite(), scores, 0.0).requires_grad_()
        assert torch.autograd.gradcheck(entropy, (given,))


def test_share_on_keys(case):
    weights, dense, _, make = case
    close(weights.statistic(ShareOnKeys([0, -1])), dense[..., [0, -1]].sum(-1))
    close(weights.statistic(ShareOnKeys([])), 0 * dense[..., 0])
    for shape in ((KEYS,), (2, KEYS), (2, 4, KEYS)):
        marks = np.random.default_rng(1).random(shape) < 0.5
        wide = marks.reshape((1,) * (3 - len(shape)) + shape)
        wide = marks[:, None] if len(shape) == 2 else wide
        wanted = np.where(wide[:, :, None], dense, 0).sum(-1)
        close(weights.statistic(ShareOnKeys(make(marks))), wanted)
    for wrong in ([KEYS], [-KEYS - 1], np.zeros(5, bool), np.zeros((3, KEYS), bool)):
        with pytest.raises(ShapeError, match="ShareOnKeys has"):
            weights.statistic(ShareOnKeys(wrong))
    with pytest.raises(InputError, match="integers"):
        ShareOnKeys([0.5])


def test_mass_within_window(case):
    weights, dense, _, _ = case
    distance = np.arange(KEYS) - (np.arange(QUERIES) + KEYS - QUERIES)[:, None]
    for statistic, inside in (
        (MassWithinWindow(2), abs(distance) <= 2),
        (MassWithinWindow(3, 0), (distance >= -3) & (distance <= 0)),
        (MassWithinWindow(0, 1), (distance >= 0) & (distance <= 1)),
    ):
        close(weights.statistic(statistic), np.where(inside, dense, 0).sum(-1))
    with pytest.raises(InputError, match="negative"):
        MassWithinWindow(1, -1)


def test_weighted_values(case, rng):
    weights, dense, mask, make = case
    for heads in (1, 2, 4):
        values = rng.normal(size=(2, heads, KEYS, 3))
        wanted = dense @ np.repeat(values, 4 // heads, 1)
        close(weights.statistic(WeightedValues(make(values))), wanted)
    values[:, :, 5] = np.nan
    seen = np.asarray(weights.statistic(WeightedValues(make(values))))
    assert (np.isnan(seen).all(-1) == mask[..., 5]).all()
    assert (np.isnan(seen).any(-1) == mask[..., 5]).all()
    with pytest.raises(ShapeError, match="x has shape"):
        weights.statistic(WeightedValues(make(values[:, :, :4])))


def test_values_get_their_gradient(rng):
    matrix = torch.from_numpy(rng.dirichlet(np.ones(5), (1, 2, 3)))
    weights = regard.AttentionMap.from_dense(matrix)
    values = torch.from_numpy(rng.normal(size=(1, 1, 5, 2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: weights.statistic(WeightedValues(x)), (values,))


def test_histogram(case):
    weights, dense, mask, _ = case
    edges = (0.01, 0.1, 0.5)
    counts = np.asarray(weights.statistic(WeightHistogram(edges)))
    for example, head in np.ndindex(2, 4):
        some = dense[example, head][mask[example, head]]
        wanted = [np.sum(np.digitize(some, edges) == n) for n in range(4)]
        assert counts[example, head].tolist() == wanted
    whole = np.asarray(weights.statistic(WeightHistogram()))
    assert (whole.sum(-1) == mask.sum((2, 3))).all()
    for wrong in ((), (0.5, 0.5)):
        with pytest.raises(InputError, match="rising"):
            WeightHistogram(wrong)


def test_counts_that_do_not_fit_are_refused(libraries, rng, monkeypatch):
    monkeypatch.setattr("numpy.iinfo", lambda _: type("", (), {"max": 10}))
    x = rng.normal(size=(1, 4, 2))
    with pytest.raises(InputError, match="jax_enable_x64"):
        regard.attend(x, x, x)[1].statistic(WeightHistogram())
