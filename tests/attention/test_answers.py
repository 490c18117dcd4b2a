"""Answers kept with a map: whose they are, and that a changed statistic has others."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import regard
from regard.attention.answers import WATCHABLE, Answers, watched_statistics
from regard.attention.statistics import RenyiEntropy, ShareOnKeys, Statistic
from regard.errors import SettingsError


class Power(Statistic):
    """Sum of the weights' powers; counts how often it looks at a tile."""

    def __init__(self, power: float) -> None:
        self.power = power

    seen = 0

    def of_tile(self, tile):
        Power.seen += 1
        return tile.xp.sum(tile.weights**self.power, axis=-1)


@dataclass(frozen=True)
class Constant(Statistic):
    numbers: tuple[float, ...]

    def of_tile(self, tile):
        return 0 * tile.xp.sum(tile.weights, axis=-1) + sum(self.numbers)


@pytest.fixture
def inputs(rng):
    return [rng.normal(size=(2, 7, 4)) for _ in range(3)]


def test_names_and_objects():
    entropy = RenyiEntropy(2)
    named, own = watched_statistics(("lse", entropy, "pool"))
    assert named == (WATCHABLE["lse"], ("pool", 64, 64))
    assert own == (entropy,)
    with pytest.raises(SettingsError, match="did you mean 'max_score'"):
        watched_statistics(("max_scores",))
    with pytest.raises(SettingsError, match=r"as in \(it,\)"):
        watched_statistics(entropy)  # type: ignore[arg-type]


def test_a_watched_statistic_is_computed_once(inputs):
    _, weights = regard.attend(*inputs, watch=(Power(2), Constant((1.0, 2.0)), "entropy"))
    before = Power.seen
    found = weights.statistic(Power(2))  # another object of the class, with its attributes
    assert Power.seen == before
    np.testing.assert_allclose(found, (weights.dense() ** 2).sum(-1))
    found[:] = 7  # a copy
    assert (weights.statistic(Power(2)) != 7).all()
    assert (weights.statistic(Constant((1.0, 2.0))) == 3).all()
    assert (weights.statistic(Constant((1.0, 3.0))) == 4).all()
    # Of some queries it is computed from these.
    assert weights.statistic(Power(2), queries=slice(0, 2)).shape == (2, 2)


def test_a_statistic_that_was_changed_is_another_one(inputs):
    power = Power(2)
    _, weights = regard.attend(*inputs, watch=(power,))
    power.power = 3
    np.testing.assert_allclose(weights.statistic(power), (weights.dense() ** 3).sum(-1))


def test_arrays_are_told_apart(inputs):
    first, other = ShareOnKeys(np.array([0])), ShareOnKeys(np.array([1]))
    _, weights = regard.attend(*inputs, watch=(first,))
    np.testing.assert_allclose(weights.statistic(first), weights.dense()[..., 0])
    np.testing.assert_allclose(weights.statistic(other), weights.dense()[..., 1])


def test_kept_with_copies_and_without_their_graph(inputs):
    query, key, value = (torch.from_numpy(x).requires_grad_() for x in inputs)
    _, weights = regard.attend(query, key, value, watch=(RenyiEntropy(2),))
    assert weights.statistic(RenyiEntropy(2)).requires_grad
    before = Power.seen
    for other in (pickle.loads(pickle.dumps(weights)), copy.deepcopy(weights)):
        found = other.statistic(RenyiEntropy(2))
        assert not found.requires_grad
        torch.testing.assert_close(found, weights.statistic(RenyiEntropy(2)).detach())
    assert weights.of_member(1).statistic(RenyiEntropy(2)).requires_grad
    assert Power.seen == before


def test_what_cannot_be_computed_is_not_kept():
    answers = Answers()
    assert answers.of(("entropy",), lambda: None) is None
    assert answers.named == {}
