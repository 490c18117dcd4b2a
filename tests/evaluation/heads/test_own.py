"""Statistics of one's own on one text: sums over its queries, however its rows are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import regard
from regard.errors import InputError
from regard.evaluation.heads.corpus import SiteSums
from regard.evaluation.heads.own import OwnSums
from regard.evaluation.heads.statistics import STATISTICS, TextSums

OWN = {
    "share": regard.statistics.ShareOnKeys([0]),
    "near": regard.statistics.MassWithinWindow(1),
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def text(rng, queries=5, keys=7):
    return rng.dirichlet(np.ones(keys), (3, queries)).astype(np.float32)


@pytest.mark.parametrize("edges", [(0, 5), (0, 1, 4, 5)])
def test_sums_over_the_queries(rng, edges):
    weights = text(rng)
    parts = [slice(*pair) for pair in pairwise(edges)]
    sums = OwnSums(OWN, 5, 7)
    passed = list(sums.beside((rows, weights[:, rows]) for rows in parts))
    assert [rows for rows, _ in passed] == parts
    assert sums.count == 5
    distance = np.arange(7) - (np.arange(5) + 2)[:, None]
    near = np.where(abs(distance) <= 1, weights, 0).sum((1, 2))
    assert sums.total is not None
    np.testing.assert_allclose(sums.total, [weights[..., 0].sum(1), near], rtol=1e-6)


def test_without_statistics_the_tiles_go_by(rng):
    weights = text(rng)
    sums = OwnSums({}, 5, 7)
    assert len(list(sums.beside([(slice(0, 5), weights)]))) == 1
    assert sums.total is None


def test_what_is_no_number_for_a_query_is_refused(rng):
    tiles = [(slice(0, 5), text(rng))]
    with pytest.raises(InputError, match="not one number for each query"):
        list(OwnSums({"bins": regard.statistics.WeightHistogram()}, 5, 7).beside(tiles))

    class OfScores(regard.statistics.Statistic):
        def of_tile(self, tile):
            return tile.scores.sum(-1)

    class Infinite(regard.statistics.Statistic):
        def of_tile(self, tile):
            return tile.weights.sum(-1) - np.inf

    with pytest.raises(InputError, match="statistic is of scores"):
        list(OwnSums({"scores": OfScores()}, 5, 7).beside(tiles))
    with pytest.raises(InputError, match="NaN or infinite"):
        list(OwnSums({"none": Infinite()}, 5, 7).beside(tiles))


def test_means_over_texts_merge(rng):
    """Sums of two halves of a corpus are those of the whole."""
    nothing = np.zeros((len(STATISTICS), 3)), np.zeros(len(STATISTICS)), np.zeros(len(STATISTICS))
    whole, first, rest = (SiteSums(3, own=("x",)) for _ in range(3))
    totals, counts = rng.normal(size=(4, 1, 3)), (5, 2, 9, 1)
    for n, (total, count) in enumerate(zip(totals, counts, strict=True)):
        sums = TextSums(*nothing, own=total, queries=count)
        whole.add(sums)
        (first if n < 2 else rest).add(sums)
    first.merge(SiteSums(3, rest.arrays(), own=("x",)))
    for head, (one, other) in enumerate(zip(whole.values(), first.values(), strict=True)):
        assert one["x"].mean == pytest.approx(totals[:, 0, head].sum() / 17)
        assert one["x"][:3] == pytest.approx(other["x"][:3])
