"""Statistics by compiled functions of rows, against the tiles that define them."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch

import regard
from regard import statistics
from regard.attention import normalizers, positions, scores
from regard.attention.kernels import limits
from regard.attention.kernels.fused import row_pass
from regard.attention.statistics import by_kernel
from regard.attention.statistics.tiles import partial_of
from regard.errors import InputError

MARKS = np.arange(53) % 3 == 0


class Squares(statistics.Statistic):
    def of_tile(self, tile):
        return tile.xp.sum(tile.weights**2, axis=-1)

    def row_function(self, layout):
        return statistics.RowFunction(add_squares)


def add_squares(row, partial):
    for weight in row.weights:
        partial[0] += weight * weight


class ByDistance(statistics.Statistic):
    """Received mass and where it came from: two numbers for each key."""

    per = "key"

    def of_tile(self, tile):
        xp, distance = tile.xp, tile.xp.astype(abs(tile.distance), tile.weights.dtype) / 53
        both = xp.sum(tile.weights, axis=2), xp.sum(tile.weights * distance, axis=2)
        return xp.stack(both, axis=-1)

    def row_function(self, layout):
        return statistics.RowFunction(add_by_distance, size=2)


def add_by_distance(row, partial):
    for j in range(row.weights.size):
        partial[j, 0] += row.weights[j]
        partial[j, 1] += row.weights[j] * abs(row.distance + j) / 53


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(limits, "ROW_PASS_MIN_WEIGHTS", 0)
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)


def inputs(library=torch, queries=71, keys=53):
    rng = np.random.default_rng(0)
    shapes = ((2, 4, queries, 8), (2, 2, keys, 8), (2, 2, keys, 5))
    three = [2 * rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return three if library is np else [torch.from_numpy(x) for x in three]


def by_tiles(weights, statistic):
    partial = partial_of(weights._source, statistic)
    return np.asarray(statistic.finish(partial), np.float64)


def agree(weights, statistic, *, off=3e-6):
    """Both ways, of which the compiled one is known to have been taken."""
    assert by_kernel.partial_by_kernel(weights._source, statistic) is not None
    found, right = np.asarray(weights.statistic(statistic)), by_tiles(weights, statistic)
    assert found.shape == right.shape
    np.testing.assert_allclose(found, right, atol=off, rtol=off)


SHIPPED = [
    statistics.RenyiEntropy(2),
    statistics.RenyiEntropy(1),
    statistics.RenyiEntropy(80.5),
    statistics.RenyiEntropy(math.inf),
    statistics.ShareOnKeys([0, -1, 30]),
    statistics.ShareOnKeys(np.stack([MARKS, ~MARKS])),
    statistics.MassWithinWindow(3, 10**30),
    statistics.WeightedValues(torch.linspace(-1, 1, 53)[:, None] ** torch.arange(1, 4)),
    Squares(),
    ByDistance(),
]


@pytest.mark.parametrize("statistic", SHIPPED, ids=lambda one: type(one).__name__)
def test_against_the_tiles(statistic):
    for mask in (
        None,
        regard.window(20, 5) & regard.padding([53, 4]),
        MARKS | (np.eye(71, 53) > 0),
    ):
        _, weights = regard.attend(*inputs(), mask=mask)
        agree(weights, statistic)


def test_counts_of_a_histogram_are_those_of_the_tiles():
    _, weights = regard.attend(*inputs(), mask=regard.causal())
    edges = statistics.WeightHistogram((-1.0, 0.0, 1e-3, 0.1))
    found = weights.statistic(edges)
    assert found.dtype == torch.int64
    assert found.shape == (2, 4, 5)
    right = by_tiles(weights, edges)
    assert np.abs(found.numpy() - right).max() <= 1  # a weight at an edge, by its rounding
    assert (found.numpy().sum(-1) == right.sum(-1)).all()


def test_numpy_caps_sinks_biases_and_bfloat16():
    parts: dict[str, Any] = {
        "score": scores.Capped(scores.ScaledDot(), 3.0),
        "normalizer": normalizers.Softmax(sink=np.array([0.0, 1.0, -1.0, 40.0], np.float32)),
        "mask": MARKS[None],
        "bias": positions.ALiBi(),
    }
    _, weights = regard.attend(*inputs(np), **parts)
    for statistic in (Squares(), statistics.RenyiEntropy(1), statistics.RenyiEntropy(2)):
        agree(weights, statistic)
    narrow = [x.bfloat16() for x in inputs()]
    _, weights = regard.attend(*narrow)
    agree(weights, Squares())
    assert weights.statistic(Squares()).dtype == torch.float32


def test_rows_in_many_blocks_and_threads(monkeypatch):
    monkeypatch.setattr(limits, "ROW_PASS_WEIGHTS", 1)
    monkeypatch.setattr(limits, "FUSED_MASK_BYTES", 2**12)
    _, weights = regard.attend(*inputs(np), mask=np.tri(71, 53, -3, dtype=bool))
    for statistic in (Squares(), ByDistance(), statistics.WeightHistogram((0.0,))):
        agree(weights, statistic)


def test_nan_is_seen_where_it_is():
    query, key, value = inputs()
    query[0, 1, 2, 3] = math.nan
    _, weights = regard.attend(query, key, value)
    for statistic in (Squares(), statistics.RenyiEntropy(2), statistics.RenyiEntropy(math.inf)):
        found = weights.statistic(statistic)
        assert found.isnan().nonzero().tolist() == [[0, 1, 2]]


def test_gradients_come_from_the_tiles():
    query, key, value = inputs()
    _, weights = regard.attend(query.requires_grad_(), key, value)
    assert by_kernel.partial_by_kernel(weights._source, Squares()) is None
    assert weights.statistic(Squares()).requires_grad


def test_a_subclass_is_computed_by_what_it_changed():
    class Cubes(Squares):
        def of_tile(self, tile):
            return tile.xp.sum(tile.weights**3, axis=-1)

    _, weights = regard.attend(*inputs())
    torch.testing.assert_close(weights.statistic(Cubes()), (weights.dense() ** 3).sum(-1))


def not_compiled(row, partial):
    partial[0] += helper(row.weights)


def helper(weights):
    return sum(weights**2)


@numba.njit
def leaving(row, partial):
    partial[1] = 1.0


def doubled(row, partial):
    partial[0] += 2 * row.weights.sum()


def made_of(function, **options):
    class Made(Squares):
        def row_function(self, layout):
            return statistics.RowFunction(function, **options)

    return Made()


ABOVE = """
LIMIT = {limit}

def count(row, partial):
    for weight in row.weights:
        if weight >= LIMIT:
            partial[0] += 1
"""


@pytest.mark.parametrize("limit", [0.05, 0, False])
def test_equal_code_with_other_globals_is_another_function(limit):
    """As of a cell of a notebook that is run again: what Numba takes for a constant has changed."""
    q, k, _ = inputs()
    weights = regard.attend(q, k, k)[1].dense()
    for value in (0.2, limit):
        places: dict[str, Any] = {}
        exec(ABOVE.format(limit=value), places)

        class Count(statistics.Statistic):
            def of_tile(self, tile):
                raise AssertionError("not by the kernel")

            def row_function(self, layout, function=places["count"]):
                return statistics.RowFunction(function)

        found = regard.attend(q, k, k)[1].statistic(Count())
        assert torch.equal(found, (weights >= value).sum(-1).to(found))


def test_what_numba_cannot_compile_is_computed_by_tiles_and_told():
    _, weights = regard.attend(*inputs())
    with pytest.warns(RuntimeWarning, match="cannot compile not_compiled .*helper"):
        found = weights.statistic(made_of(not_compiled))
    np.testing.assert_allclose(found, by_tiles(weights, Squares()), rtol=1e-5)
    weights.statistic(made_of(not_compiled))  # told once
    assert "helper" in str(row_pass.why_not_compiled(statistics.RowFunction(not_compiled)))
    report = regard.check(statistic=made_of(not_compiled), queries=5, keys=7, libraries=["numpy"])
    assert "Numba cannot compile not_compiled" in str(report)


def test_check_finds_a_function_that_disagrees_or_leaves_its_arrays():
    sizes: dict[str, Any] = {"queries": 5, "keys": 7, "libraries": ["numpy"], "heads": 1}
    assert regard.check(statistic=Squares(), **sizes).ok
    assert "doubled and of_tile give two answers" in str(
        regard.check(statistic=made_of(doubled), **sizes)
    )
    assert "IndexError" in str(regard.check(statistic=made_of(leaving), **sizes))


def test_something_else_than_a_row_function_is_refused():
    class Odd(Squares):
        def row_function(self, layout):
            return add_squares

    _, weights = regard.attend(*inputs())
    with pytest.raises(InputError, match=r"Odd\.row_function returned"):
        weights.statistic(Odd())
