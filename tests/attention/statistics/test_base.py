"""A tile's own facts, and what the base class of statistics does unless told otherwise."""

import numpy as np
import pytest

import regard
from regard.attention.statistics import Statistic, Tile
from regard.attention.statistics.base import arrays_of
from regard.attention.statistics.tiles import tile_of
from regard.errors import InputError


class Mass(Statistic):
    def of_tile(self, tile):
        return tile.xp.sum(tile.weights, axis=-1)


def tile(rng, rows=slice(1, 3), **given) -> Tile:
    query, key = rng.normal(size=(1, 1, 4, 5)), rng.normal(size=(1, 1, 6, 5))
    _, weights = regard.attend(query, key, key, **given)
    return tile_of(weights._source, rows)


def test_facts_of_a_tile(rng):
    one = tile(rng, mask=regard.causal())
    assert one.queries.tolist() == [1, 2]
    assert one.keys.tolist() == [0, 1, 2, 3, 4, 5]
    # Four queries at the end of six keys: query 1 sits at key 3.
    assert one.distance.tolist() == [[-3, -2, -1, 0, 1, 2], [-4, -3, -2, -1, 0, 1]]
    assert (one.allowed[0, 0] == (one.distance <= 0)).all()
    assert (one.scores[~one.allowed] == -np.inf).all()
    assert one.weights.shape == (1, 1, 2, 6)


def test_a_matrix_has_no_scores():
    weights = regard.AttentionMap.from_dense(np.array([[0.5, 0.5, 0.0]]))
    one = tile_of(weights._source, slice(0, 1))
    assert one.allowed.tolist() == [[[[True, True, False]]]]
    with pytest.raises(InputError, match="holds weights alone"):
        _ = one.scores


def test_partial_results_are_added_and_are_the_answer():
    mass, one = Mass(), np.ones((1, 1, 2))
    assert (mass.merge(one, one) == 2).all()
    assert [x.tolist() for x in mass.merge((one, 2 * one), (one, one))] == [
        (2 * one).tolist(),
        (3 * one).tolist(),
    ]
    assert mass.finish(one) is one
    assert arrays_of(one) == (one,)
    assert mass.per == "query"
