"""Statistics of one's own, tile by tile: any cut of the matrix gives what the whole matrix gives."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import regard
from regard.attention.statistics import Statistic, evaluate
from regard.attention.statistics.tiles import partial_of
from regard.errors import InputError, ShapeError


class Largest(Statistic):
    """The largest weight and the largest score of each query: a pair, merged by maxima."""

    def of_tile(self, tile):
        return tile.xp.max(tile.weights, axis=-1), tile.xp.max(tile.scores, axis=-1)

    def merge(self, first, second):
        xp = torch if isinstance(first[0], torch.Tensor) else np
        return tuple(xp.maximum(x, xp.asarray(y)) for x, y in zip(first, second, strict=True))


class Received(Statistic):
    per = "key"

    def of_tile(self, tile):
        return tile.xp.sum(tile.weights, axis=2)


class MeanOfRows(Statistic):
    """The mean of the squares over the queries that see something: of each head, by two sums."""

    per = "head"

    def of_tile(self, tile):
        xp = tile.xp
        squares = xp.sum(tile.weights**2, axis=(2, 3))
        # Each row once, however its keys are cut: by its weights, which add up to 1.
        return squares, xp.sum(tile.weights, axis=(2, 3))

    def finish(self, partial):
        return partial[0] / partial[1]


def arrays(rng, queries=7, keys=11):
    shapes = (2, 4, queries, 5), (2, 2, keys, 5), (2, 2, keys, 3)
    mask = rng.random((2, 4, queries, keys)) < 0.6
    mask[0, 1, 2] = False  # a query that sees nothing
    return [rng.normal(size=shape) for shape in shapes], mask


def expected(query, key, mask):
    scores = query @ np.repeat(key, 2, 1).swapaxes(-1, -2) / math.sqrt(5)
    scores = np.where(mask, scores, -np.inf)
    top = np.maximum(scores.max(-1, keepdims=True), -1e30)
    weights = np.exp(scores - top)
    return scores, weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)


def test_every_library_against_the_whole_matrix(libraries, rng):
    (query, key, value), mask = arrays(rng)
    scores, weights = expected(query, key, mask)
    for name in ("numpy", "torch"):
        make = libraries[name]
        _, found = regard.attend(*map(make, (query, key, value)), mask=make(mask))
        weight, score = found.statistic(Largest())
        np.testing.assert_allclose(weight, weights.max(-1), atol=1e-14)
        np.testing.assert_allclose(score, scores.max(-1), atol=1e-14)
        np.testing.assert_allclose(found.statistic(Received()), weights.sum(2), atol=1e-14)
    make = libraries["jax"]
    _, found = regard.attend(*map(make, (query, key, value)), mask=make(mask))
    np.testing.assert_allclose(found.statistic(Received()), weights.sum(2), atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.integers(0, 7), max_size=3),
    columns=st.lists(st.integers(0, 11), max_size=4),
    make=st.sampled_from([np.asarray, torch.from_numpy]),
)
def test_no_cut_changes_an_answer(rows, columns, make):
    (query, key, value), mask = arrays(np.random.default_rng(0))
    _, weights = expected(query, key, mask)
    _, found = regard.attend(*map(make, (query, key, value)), mask=make(mask))
    cut = [sorted({0, *rows, 7}), sorted({0, *columns, 11})]
    row_parts, parts = ([slice(*pair) for pair in pairwise(x)] for x in cut)

    class Source:
        layout, weights = found._source.layout, found._source.weights

        def tiles(self):
            return row_parts

    for statistic, answer in (
        (Received(), weights.sum(2)),
        (MeanOfRows(), (weights**2).sum((2, 3)) / weights.sum((2, 3))),
        (
            regard.statistics.RenyiEntropy(1),
            -(weights * np.log(np.where(weights, weights, 1))).sum(-1),
        ),
    ):
        np.testing.assert_allclose(
            evaluate(Source(), statistic, columns=parts), answer, atol=1e-13, rtol=1e-13
        )


def test_rows_longer_than_a_tile_are_cut(monkeypatch, rng):
    monkeypatch.setattr("regard.attention.statistics.tiles.MAX_COLUMNS", 4)
    (query, key, value), mask = arrays(rng)
    _, found = regard.attend(query, key, value, mask=mask)
    seen = []

    class Sizes(Received):
        def of_tile(self, tile):
            seen.append(tile.weights.shape[-1])
            return super().of_tile(tile)

    np.testing.assert_allclose(found.statistic(Sizes()), found.received(), atol=1e-14)
    assert seen == [3, 4, 4]


def test_no_tile_is_the_whole_of_a_large_matrix(rng):
    x = rng.normal(size=(1, 2, 3000, 4)).astype(np.float32)
    _, found = regard.attend(x, x, x)
    sizes = []

    class Sizes(Received):
        def of_tile(self, tile):
            sizes.append(tile.weights.nbytes)
            return super().of_tile(tile)

    np.testing.assert_allclose(found.statistic(Sizes()), found.received(), atol=1e-4)
    assert max(sizes) <= 2**23
    assert sum(sizes) == 4 * 2 * 3000**2


@pytest.mark.unchecked
def test_some_queries_are_computed_without_the_others(rng):
    (query, key, value), mask = arrays(rng)
    _, weights = expected(query, key, mask)
    _, found = regard.attend(query, key, value, mask=mask)
    last = slice(-3, None)
    np.testing.assert_allclose(
        found.statistic(Received(), queries=last), weights[:, :, last].sum(2), atol=1e-14
    )
    assert found.statistic(Largest(), queries=slice(2, 4))[0].shape == (2, 4, 2)
    assert (found.statistic(Received(), queries=slice(4, 4)) == 0).all()
    with pytest.raises(InputError, match=r"slice\(-32, None\)"):
        found.statistic(Received(), queries=slice(0, 4, 2))
    with pytest.raises(InputError, match="queries is 3"):
        found.statistic(Received(), queries=3)  # type: ignore[arg-type]


def test_gradients_of_several_tiles_are_those_of_the_matrix(monkeypatch, rng):
    monkeypatch.setattr(
        "regard.attention.problem.split_rows",
        lambda n, _: [slice(i, min(n, i + 3)) for i in range(0, n, 3)],
    )
    (query, key, value), mask = arrays(rng)
    inputs = [torch.from_numpy(x).requires_grad_() for x in (query, key, value)]

    def slopes(of: Any) -> Any:
        _, found = regard.attend(*inputs, mask=torch.from_numpy(mask))
        factors = torch.arange(1.0, 12, dtype=torch.float64)
        return torch.autograd.grad((of(found) * factors).sum(), inputs[:2])

    (one, _), (other, _) = (
        slopes(lambda m: m.statistic(Received())),
        slopes(lambda m: m.dense().sum(2)),
    )
    for found, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(found, wanted)
        assert wanted.abs().max() > 0.01


def test_dropout_is_not_seen(rng):
    (query, key, value), mask = arrays(rng)
    plain, dropped = (
        regard.attend(query, key, value, mask=mask, dropout=rate)[1] for rate in (0.0, 0.5)
    )
    assert (plain.statistic(Received()) == dropped.statistic(Received())).all()


def test_nan_where_it_may_be_seen_and_nowhere_else(rng):
    (query, key, value), mask = arrays(rng)
    key[0, 0, 3] = np.nan  # of heads 0 and 1
    _, found = regard.attend(query, key, value, mask=mask)
    entropy = found.statistic(regard.statistics.RenyiEntropy(2))
    assert (np.isnan(entropy[0, :2]) == mask[0, :2, :, 3]).all()
    assert np.isfinite(entropy[0, 2:]).all()


def test_no_queries_and_no_keys(rng):
    for queries, keys in ((0, 5), (5, 0)):
        query, key = rng.normal(size=(1, queries, 3)), rng.normal(size=(1, keys, 3))
        _, found = regard.attend(query, key, key)
        assert found.statistic(Received()).shape == (1, keys)
        for order in (0.5, 1, math.inf):
            entropy = found.statistic(regard.statistics.RenyiEntropy(order))
            assert entropy.shape == (1, queries)
            assert (entropy == 0).all()


class Wrong(Statistic):
    def __init__(self, found):
        self.found = found

    def of_tile(self, tile):
        return self.found


@pytest.mark.unchecked
def test_what_does_not_fit_is_refused(rng):
    (query, key, value), mask = arrays(rng)
    _, found = regard.attend(query, key, value, mask=mask)
    with pytest.raises(InputError, match=r"Wrong.of_tile returned float; .* \(2, 4, 7, ...\)"):
        found.statistic(Wrong(1.0))
    with pytest.raises(ShapeError, match=r"returned shape \(2, 4\); .* per is 'query'"):
        found.statistic(Wrong(np.zeros((2, 4))))
    with pytest.raises(InputError, match="RenyiEntropy"):
        found.statistic(regard.statistics.RenyiEntropy)  # type: ignore[arg-type]
    assert partial_of(found._source, Received()).shape == (2, 4, 11)
