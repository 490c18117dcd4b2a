"""Laws of a statistic of one's own, each tried by itself for `regard.check`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from regard.attention.arrays import is_numpy, is_torch, to_numpy
from regard.attention.check_parts import Broken, difference
from regard.attention.masks import as_mask
from regard.attention.problem import Problem
from regard.attention.statistics import Partial, Statistic, Tile, evaluate
from regard.attention.statistics.base import arrays_of
from regard.attention.statistics.by_kernel import current_row_function, in_type_of
from regard.attention.statistics.tiles import cut_tile, tile_of

__all__ = ["statistic_contract"]

FAR = 1e-4
"""Difference that is no rounding of float32 sums in another order."""


def statistic_contract(statistic: Statistic, problem: Problem) -> Iterator[Broken]:
    """The answer does not depend on how the matrix is cut, nor on what is masked, and is finite.

    Args:
        statistic: that is checked.
        problem: that it fits. Where nothing is masked, some pairs and one query are.
    """
    problem = _masked(problem)
    layout = problem.layout
    whole = _answer(statistic, problem, 1, 1)
    if any(np.isnan(to_numpy(x)).any() for x in arrays_of(whole)):
        yield (
            "the answer is NaN where some pairs, or all of a query's, are masked",
            "masked weights are 0 and masked scores -inf: replace them before a logarithm, product or division",
        )
        return
    yield from _cut_contract(statistic, problem, whole)
    yield from _tile_contract(statistic, problem)
    if _off(_answer(statistic, problem, 1, 1), whole):
        yield (
            "asked again, the answer is another one",
            "keep nothing on the object: what goes from tile to tile belongs in the partial result",
        )
    yield from _row_contract(statistic, problem, whole)
    if is_torch(problem.query):
        yield from _gradient_contract(statistic, problem, layout.queries)


def _row_contract(statistic: Statistic, problem: Problem, whole: Partial) -> Iterator[Broken]:
    """The function of rows is compiled, and its answer is that of the tiles."""
    layout = problem.layout
    form = current_row_function(statistic, layout)
    fits = is_torch(problem.query) or is_numpy(layout.xp)
    if form is None or not fits or not find_spec("numba"):
        return
    from regard.attention.kernels.fused import row_pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is a finding
        partial = row_pass.accumulate(problem, statistic.per, form, checked=True)
    name = getattr(form.function, "__qualname__", str(form.function))
    if partial is None:
        why = row_pass.why_not_compiled(form)
        if why is not None:
            yield (
                f"Numba cannot compile {name}, and of_tile answers in its place, which takes longer: {why}",
                "keep to what Numba supports: loops, numbers, NumPy arrays given as data; decorate functions "
                "that it calls by numba.njit",
            )
    elif _off(in_type_of(layout, statistic.finish(layout.asarray(partial))), whole):
        yield (
            f"{name} and of_tile give two answers",
            "partial must become what merge makes of the partial results of all tiles, from start on; masked "
            "weights are 0 and masked scores -inf; row.key is the position of the first weight",
        )


def _cut_contract(statistic: Statistic, problem: Problem, whole: Partial) -> Iterator[Broken]:
    """Tiles of other sizes give the same answer."""
    for rows, columns, what in ((1, 3, "keys"), (3, 1, "queries"), (2, 4, "queries and keys")):
        if _off(_answer(statistic, problem, rows, columns), whole):
            yield (
                f"the answer depends on how the matrix is cut: another one with tiles of fewer {what}",
                "merge must make of the partial results of two tiles that of the tile which holds both; "
                "positions are tile.queries and tile.keys, counted in the whole matrix; what is divided by a "
                "number of keys or queries is divided in finish",
            )
            return


def _tile_contract(statistic: Statistic, problem: Problem) -> Iterator[Broken]:
    """Laws of `merge`, of the size of partial results, and of what is masked."""
    layout = problem.layout
    by_rows = statistic.per == "key"
    if (layout.queries if by_rows else layout.keys) < 3:
        return
    first, second, third = _three(problem, by_rows=by_rows)
    given = to_numpy(first.weights).copy()
    one, other, last = (statistic.of_tile(tile) for tile in (first, second, third))
    if not np.array_equal(given, to_numpy(first.weights)):
        yield "of_tile changes the weights in place", "compute a new array"
        return
    merge, finish = statistic.merge, statistic.finish
    if _off(finish(merge(other, one)), finish(merge(one, other))):
        yield (
            "merge(a, b) and merge(b, a) differ",
            "partial results come in any order: where order matters, keep positions in them",
        )
    elif _off(finish(merge(merge(one, other), last)), finish(merge(one, merge(other, last)))):
        yield (
            "merge(merge(a, b), c) and merge(a, merge(b, c)) differ",
            "carry what a mean or maximum is made of (sums, counts, maxima), and divide in finish",
        )
    if _off(finish(merge(one, statistic.of_tile(_all_masked(second)))), finish(one)):
        yield (
            "a tile in which everything is masked changes the answer",
            "count and sum where tile.allowed alone; masked weights are 0 and masked scores -inf",
        )
    sizes = [[tuple(x.shape) for x in arrays_of(part)] for part in (one, last)]
    if statistic.per != "head" and sizes[0] != sizes[1]:
        axis = "queries" if by_rows else "keys"
        yield (
            f"the size of a partial result grows with the {axis} of the tile: {sizes[0]} and {sizes[1]}",
            f"reduce over the {axis}, so that the whole matrix is never held",
        )


def _gradient_contract(statistic: Statistic, problem: Problem, queries: int) -> Iterator[Broken]:
    """Where the answer has a gradient, it is finite beside what is masked."""
    import torch

    with torch.enable_grad():
        query = problem.query.detach().clone().requires_grad_()
        answers = arrays_of(_answer(statistic, replace(problem, query=query), 2, 2))
        some = [x for x in answers if x.requires_grad]
        if not some:
            return
        finite = [torch.where(x.isfinite(), x, 0.0).sum() for x in some]
        (slope,) = torch.autograd.grad(finite, query, allow_unused=True)
    if slope is not None and not slope.isfinite().all():
        yield (
            "the gradient is NaN or infinite where something is masked",
            "replace what is masked before a logarithm, root or division, not after it; or detach",
        )


def _answer(statistic: Statistic, problem: Problem, rows: int, columns: int) -> Partial:
    """The answer from a matrix cut into some tiles along each axis, of unequal sizes."""
    layout = problem.layout
    return evaluate(
        problem,
        statistic,
        tiles=_parts(layout.queries, rows),
        columns=_parts(layout.keys, columns),
    )


def _parts(length: int, count: int) -> list[slice]:
    """Slices of a length: of unequal sizes, fewer where there are not as many positions."""
    edges = sorted({0, length, *(length * n * n // (count * count) for n in range(1, count))})
    return [slice(*pair) for pair in pairwise(edges)] or [slice(0, 0)]


def _three(problem: Problem, *, by_rows: bool) -> list[Tile]:
    """Three tiles of different sizes that follow each other."""
    layout = problem.layout
    every = slice(0, layout.queries)
    if by_rows:
        return [tile_of(problem, rows) for rows in _thirds(layout.queries)]
    return [cut_tile(tile_of(problem, every), columns) for columns in _thirds(layout.keys)]


def _thirds(length: int) -> list[slice]:
    middle = max(2, length // 2)
    return [slice(0, 1), slice(1, middle), slice(middle, length)]


def _all_masked(tile: Tile) -> Tile:
    """A tile of these queries and keys in which nothing may attend."""
    weights = tile.weights * 0
    return replace(tile, weights=weights, given_scores=weights - math.inf)


def _masked(problem: Problem) -> Problem:
    """The problem, with some pairs and all of the last query masked if nothing is."""
    layout = problem.layout
    if problem.mask is not None:
        return problem
    shape = layout.batch, 1, layout.queries, layout.keys
    allowed = np.random.default_rng(0).random(shape) < 0.7
    if layout.queries > 1:
        allowed[:, :, -1] = False
    mask = as_mask(allowed)
    return replace(problem, mask=mask)


def _off(found: Any, expected: Any) -> bool:
    """Whether two answers differ by more than rounding."""
    ours, theirs = arrays_of(found), arrays_of(expected)
    return len(ours) != len(theirs) or any(
        difference(x, y) > FAR for x, y in zip(ours, theirs, strict=True)
    )
