"""Alpha-entmax of rows of scores, for any alpha, with exact gradients to scores and alpha.

Entmax (Peters, Niculae and Martins 2019) is the `p` that maximises `p . s` plus the Tsallis entropy of order
alpha. With `beta = alpha - 1` and the scores shifted so that their maximum is 0, it is::

    p_j = m (1 + beta x_j)_+^(1 / beta)      x_j = s_j m^(-beta),  sum_j p_j = 1

where `m` is the largest weight. Unlike the threshold `tau` of the paper, `m` stays well-conditioned for every
alpha: at alpha = 1 the formula is the softmax, `m exp(s_j)`. The sum grows with `m`, so that Newton's method
inside a bracket finds it: no sort, no list of candidates.

The search carries no gradient. Two more steps of Newton's method do: the derivatives of a root are those of
one step from it, the second ones those of two (the implicit function theorem).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from regard.attention.arrays import is_concrete, namespace, stop_gradient
from regard.shapes import Array, Float

__all__ = ["entmax"]

MOST_STEPS = 64
"""Steps of the search at most: 13 are enough for alpha up to 2, 25 up to 4 (rows of 3 to 20,000 keys)."""

TRACED_STEPS = 24
"""Steps of a search that is traced, whose end cannot be asked for."""

SERIES_BELOW = 1e-2
"""Largest `|y|` at which `log1p(y) / y` is a series, whose derivative loses no digits to a difference."""

LARGEST_EXPONENT = 80.0
"""Of powers that multiply a 0: float32 overflows at 88, and infinity times 0 is NaN."""


class Shares(NamedTuple):
    """Weights of rows for some largest weight, right or not, and what the search asks of them."""

    weights: Float[Array, "... keys"]
    total: Float[Array, "... 1"]
    slope: Float[Array, "... 1"]
    """The derivative of the total by the largest weight."""


def entmax(scores: Float[Array, "... keys"], alpha: Array) -> Float[Array, "... keys"]:
    """Entmax of each row; rows of -inf get zeros.

    Args:
        scores: float32 or float64; -inf where masked.
        alpha: of that type; broadcasts to `(..., 1)`.
    """
    xp = namespace(scores=scores, alpha=alpha)
    if scores.shape[-1] == 0:
        return scores
    allowed, beta = scores != -math.inf, alpha - 1
    highest = xp.max(stop_gradient(scores), axis=-1, keepdims=True)
    # Masked scores take part as the maximum, whose powers are finite, and are left out at the end.
    below = xp.where(allowed, scores - xp.where(highest == -math.inf, 0.0, highest), 0.0)
    most, near = _search(stop_gradient(below), allowed, stop_gradient(beta))
    for _ in range(2):
        shares = _shares(below, allowed, beta, most)
        step = (1 - shares.total) / xp.where(shares.slope == 0, 1.0, shares.slope)
        # Where the search did not end near the root (alpha far above 2, whose weights rise from 0 by a jump),
        # the step has a derivative but no length.
        most = most + step - xp.where(near, 0.0, stop_gradient(step))
    weights, total, _ = _shares(below, allowed, beta, most)
    return weights / xp.where(total == 0, 1.0, total)


def _search(below: Array, allowed: Array, beta: Array) -> tuple[Array, Array]:
    """The largest weight of each row, and whether its weights sum to 1 but for rounding.

    Newton's method; half of the bracket, by the ratio of its ends, wherever a step leaves it or brings less
    than half of the way.
    """
    xp = namespace(below=below)
    precision = float(xp.finfo(below.dtype).eps)
    tolerance = 1e-5 if precision > 1e-10 else 1e-10
    high = xp.ones_like(below[..., :1]) + 0 * beta
    low, most, before = high / below.shape[-1], high, xp.full_like(high, math.inf)
    concrete = is_concrete(below) and is_concrete(beta)
    near = high < 0
    for _ in range(MOST_STEPS if concrete else TRACED_STEPS):
        _, total, slope = _shares(below, allowed, beta, most)
        off = xp.abs(total - 1)
        near = off <= tolerance
        low, high = xp.where(total <= 1, most, low), xp.where(total >= 1, most, high)
        ended = near | (high - low <= 2 * precision * high) | xp.isnan(total) | (total == 0)
        if concrete and bool(xp.all(ended)):
            break
        step = most - (total - 1) / xp.where(slope == 0, 1.0, slope)
        halve = ~((step > low) & (step < high)) | (off > 0.5 * before)
        before = xp.where(halve, math.inf, off)
        step = xp.where(halve, xp.sqrt(low * high), step)
        most = xp.where(ended, most, step)
    return most, near


def _shares(below: Array, allowed: Array, beta: Array, most: Array) -> Shares:
    """The weights `most (1 + beta x)_+^(1 / beta)`, their sum, and its derivative by `most`.

    Args:
        below: scores less their maximum.
        allowed: whether each is not masked.
        beta: alpha less 1.
        most: the largest weight.
    """
    xp = namespace(below=below)
    log_most = xp.log(most)
    x = below * xp.exp(xp.clip(-beta * log_most, None, LARGEST_EXPONENT))
    # Not `y > -1`, which a NaN fails as well.
    supported = allowed & ~(beta * x <= -1)
    x = xp.where(supported, x, 0.0)
    power = x * _log1p_ratio(beta * x)  # log(1 + beta x) / beta
    weights = xp.where(supported, xp.exp(log_most + power), 0.0)
    slopes = xp.exp(xp.clip((1 - beta) * power, None, LARGEST_EXPONENT))
    slopes = xp.where(supported, slopes, 0.0)
    total, slope = (xp.sum(each, axis=-1, keepdims=True) for each in (weights, slopes))
    return Shares(weights, total, slope)


def _log1p_ratio(y: Array) -> Array:
    """`log(1 + y) / y`, 1 at 0, with an accurate derivative everywhere above -1."""
    xp = namespace(y=y)
    small = xp.abs(y) < SERIES_BELOW
    near = xp.where(small, y, 0.0)
    series: Any = 0.0
    for n in range(8, 0, -1):  # 1 - y/2 + y^2/3 - ...
        series = 1 / n - near * series
    far = xp.where(small, 1.0, y)
    return xp.where(small, series, xp.log1p(far) / far)
