"""Contracts of a score, normaliser, mask and bias, each checked by itself for `regard.check`.

Every function takes one part and a problem that holds it, and yields a pair for each broken contract:
what is wrong, and what to do about it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from regard.attention.arrays import is_torch, to_numpy
from regard.attention.masks import Mask, causal, key_ranges, mask_tile
from regard.attention.normalizers import Normalizer
from regard.attention.positions import Bias, bias_tile
from regard.attention.problem import Problem
from regard.attention.scores import Score
from regard.shapes import Array

__all__ = ["Broken", "bias_contract", "difference", "mask_contract", "normalizer_contract",
           "score_contract"]  # fmt: skip

Broken = tuple[str, str]
"""What is wrong, and advice."""

TOLERANCE = 1e-5
"""Difference between two float32 results that is rounding, for numbers near 1."""


def score_contract(score: Score, problem: Problem) -> Iterator[Broken]:
    """`pairwise` gives for a tile what it gives for the whole, and grouped heads share keys."""
    query, key, layout = problem.query, problem.key, problem.layout
    before = to_numpy(query).copy()
    whole = score.pairwise(query, key)
    if np.isnan(to_numpy(whole)).any():
        yield "scores of finite vectors are NaN", "look for 0 / 0, inf - inf and roots"
    if not np.array_equal(before, to_numpy(query)):
        yield "pairwise changes the queries in place", "compute a new array"
    rows = _some(layout.queries)
    if difference(score.pairwise(query[:, :, rows], key), whole[:, :, rows]) > TOLERANCE:
        yield (
            f"pairwise of the queries {_span(rows)} differs from those rows of all queries",
            "a score of a pair may depend on that query and that key only; a position belongs in a bias",
        )
    columns = _some(layout.keys)
    if difference(score.pairwise(query, key[:, :, columns]), whole[..., columns]) > TOLERANCE:
        yield (
            f"pairwise of the keys {_span(columns)} differs from those columns of all keys",
            "a score of a pair may depend on that query and that key only; what looks at a whole row "
            "belongs in a normaliser",
        )
    group = layout.heads // key.shape[1]
    if group > 1:
        repeated = layout.xp.repeat(key, group, axis=1)
        if difference(score.pairwise(query, repeated), whole) > TOLERANCE:
            yield (
                "keys that heads share (grouped heads) score otherwise than keys repeated for each head",
                "multiply by regard's DotScore.pairwise, or repeat the keys' heads first",
            )


def normalizer_contract(normalizer: Normalizer, problem: Problem) -> Iterator[Broken]:
    """Weights are finite, 0 where masked, and a row's do not depend on the tile it is in."""
    layout = problem.layout
    rows = _hard_rows(max(2, layout.keys))
    shape = layout.batch, layout.heads, *rows.shape
    scores = layout.asarray(np.broadcast_to(rows, shape).copy(), layout.dtype)
    given = to_numpy(scores).copy()
    weights = normalizer(scores)
    if tuple(weights.shape) != tuple(scores.shape):
        yield (
            f"scores of shape {tuple(scores.shape)} get weights of shape {tuple(weights.shape)}",
            "give one weight for each score",
        )
        return
    if weights.dtype != scores.dtype:
        yield (
            f"weights of {scores.dtype} scores are {weights.dtype}",
            "keep the type of the scores: parameters may be converted to it",
        )
    if not np.array_equal(given, to_numpy(scores)):
        yield "the scores are changed in place", "compute a new array"
    found, masked = to_numpy(weights), given == -math.inf
    if np.isnan(found).any():
        row = int(np.argwhere(np.isnan(found).any(-1))[0][-1])
        yield (
            f"weights are NaN in a row of {ROWS[row]}",
            "subtract the row's maximum before exp, replace a maximum of -inf by 0, and do not divide by "
            "a sum of 0",
        )
        return
    if (found[masked] != 0).any():
        yield (
            "masked keys (scores of -inf) get a weight",
            "give them 0, also in a row that is all -inf",
        )
    if (found < 0).any():
        yield "weights are negative", "pooled maxima and entropies are of weights of at least 0"
    some = slice(1, 3)
    part = normalizer(scores[:, :, some], first_row=1)
    if difference(part, weights[:, :, some]) > TOLERANCE:
        yield (
            "a row's weights depend on the other rows that are computed with it",
            "reduce over the last axis only; noise must follow from first_row",
        )
    if is_torch(scores):
        yield from _normalizer_gradient(normalizer, scores)


def _normalizer_gradient(normalizer: Normalizer, scores: Any) -> Iterator[Broken]:
    """Gradients stay finite, and those of masked scores are 0."""
    import torch

    with torch.enable_grad():
        scores = scores.clone().requires_grad_()
        weights = normalizer(scores)
        if not weights.requires_grad:
            return
        factors = torch.linspace(-1, 1, scores.shape[-1], dtype=scores.dtype)
        (slope,) = torch.autograd.grad((weights * factors).sum(), scores, allow_unused=True)
    if slope is None:
        yield "no gradient reaches the scores", "use operations of torch on the scores themselves"
    elif not slope.isfinite().all():
        yield (
            "gradients are NaN or infinite where something is masked",
            "what is masked must be replaced before a division, logarithm or root, not after it",
        )


def mask_contract(mask: Mask, problem: Problem) -> Iterator[Broken]:
    """Tiles are parts of one matrix, and ranges agree with them."""
    layout = problem.layout
    rows, columns = _some(layout.queries), _some(layout.keys)
    everything = slice(0, layout.queries), slice(0, layout.keys)
    whole = _full(problem, mask_tile(mask, layout, *everything))
    part = _full(problem, mask_tile(mask, layout, rows, columns), rows, columns)
    if not np.array_equal(part, whole[:, :, rows, columns]):
        yield (
            f"the tile of rows {_span(rows)} and columns {_span(columns)} is not that part of the whole "
            "mask",
            "compute positions from rows.start and columns.start (layout.positions does)",
        )
    yield from _ranges_contract(mask, problem, whole)
    if mask.same_for_all_queries and (whole != whole[:, :, :1]).any():
        yield (
            "same_for_all_queries is True, but rows of the tile differ",
            "return False, or a tile of one row",
        )
    both = _full(problem, mask_tile(mask & causal(), layout, *everything))
    behind = _full(problem, mask_tile(causal(), layout, *everything))
    if not np.array_equal(both, whole & behind):
        yield "mask & causal() is not what both allow", "leave __and__ to the base class"


def _ranges_contract(mask: Mask, problem: Problem, whole: np.ndarray) -> Iterator[Broken]:
    layout = problem.layout
    ranges = mask.intervals(layout)
    if ranges is None:
        return
    low, high = (to_numpy(end)[..., None] for end in ranges)
    position = np.arange(layout.keys)
    named = np.broadcast_to((position >= low) & (position < high), whole.shape)
    wrong = np.argwhere((named != whole).any(-1))
    if len(wrong):
        example, head, query = (int(n) for n in wrong[0])
        allowed = np.flatnonzero(whole[example, head, query]).tolist()
        ends = [int(np.broadcast_to(end[..., 0], whole.shape[:3])[example, head, query])
                for end in (low, high)]  # fmt: skip
        yield (
            f"for query {query} tile allows the keys {_short(allowed)}, intervals name {ends[0]} to "
            f"{ends[1]} (end excluded)",
            "attend uses the tile; correct intervals or leave it out",
        )
    elif key_ranges(mask, layout) is None:
        yield (
            "intervals are not used, because tile is overridden and decides",
            "for speed subclass regard.masks.IntervalMask and define intervals alone",
        )


def bias_contract(bias: Bias, problem: Problem) -> Iterator[Broken]:
    """Tiles are parts of one matrix without NaN."""
    layout = problem.layout
    rows, columns = _some(layout.queries), _some(layout.keys)
    whole = bias_tile(bias, layout, slice(0, layout.queries), slice(0, layout.keys))
    whole = _full(problem, whole)
    part = _full(problem, bias_tile(bias, layout, rows, columns), rows, columns)
    if np.isnan(whole).any():
        yield "the bias is NaN", "use -inf to mask a pair"
    elif difference(part, whole[:, :, rows, columns]) > TOLERANCE:
        yield (
            f"the tile of rows {_span(rows)} and columns {_span(columns)} is not that part of the whole "
            "bias",
            "compute positions from rows.start and columns.start (layout.positions does)",
        )


def difference(found: Array, expected: Array) -> float:
    """The largest difference, over the size of the numbers where that is above 1; infinite for NaN."""
    one, other = (np.asarray(to_numpy(x), np.float64) for x in (found, expected))
    if one.shape != other.shape:
        return math.inf
    with np.errstate(invalid="ignore"):
        off = np.where(one == other, 0.0, np.abs(one - other))
    finite = other[np.isfinite(other)]
    worst = float(off.max(initial=0.0)) / max(1.0, float(np.abs(finite).max(initial=0.0)))
    return math.inf if math.isnan(worst) else worst


ROWS = (
    "ordinary scores",
    "ordinary scores, some masked",
    "scores of thousands",
    "scores of minus thousands",
    "one key that is not masked",
    "masked keys only",
    "equal scores",
)
"""Rows that normalisers get wrong."""


def _hard_rows(keys: int) -> np.ndarray:
    """`(rows, keys)`, one row for each of `ROWS`."""
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((len(ROWS), keys))
    rows[1, ::3] = -math.inf
    rows[2] *= 5000
    rows[3] = rows[3] - 9000
    rows[4, 1:] = -math.inf
    rows[5] = -math.inf
    rows[6] = 0.5
    return np.asarray(rows)


def _full(
    problem: Problem, tile: Array, rows: slice | None = None, columns: slice | None = None
) -> np.ndarray:
    """A tile with every axis of its full size."""
    layout = problem.layout
    part = replace(
        layout,
        queries=layout.queries if rows is None else rows.stop - rows.start,
        keys=layout.keys if columns is None else columns.stop - columns.start,
    )
    shape = part.batch, part.heads, part.queries, part.keys
    return np.broadcast_to(to_numpy(tile), shape)


def _some(length: int) -> slice:
    """A part from the middle; all of a length of 1."""
    return slice(length // 3, max(length // 3 + 1, 2 * length // 3))


def _span(part: slice) -> str:
    return f"{part.start} to {part.stop - 1}"


def _short(numbers: list[int]) -> str:
    return str(numbers) if len(numbers) <= 8 else f"[{', '.join(map(str, numbers[:8]))}, ...]"
