"""From a row of scores to a row of weights.

A normaliser takes whole rows, `(..., keys)`, in which a masked score is -inf, and gives weights of
the same shape. A row that may attend to nothing (all -inf) gets zeros.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from regard.attention import random
from regard.attention.arrays import namespace, stop_gradient
from regard.errors import InputError
from regard.shapes import Array, Float, Int

__all__ = [
    "Entmax15",
    "GumbelHard",
    "Hard",
    "MovingBaseline",
    "Normalizer",
    "Sampled",
    "Sigmoid",
    "Softmax",
    "Sparsemax",
    "reinforce",
    "sample",
]


class Normalizer(ABC):
    """Scores to weights, row by row."""

    @abstractmethod
    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """The weights of some rows.

        Args:
            scores: whole rows; -inf where masked.
            first_row: which query the first row belongs to, for normalisers that draw noise.
        """


@dataclass(frozen=True)
class Softmax(Normalizer):
    """`exp(s_j) / sum_k exp(s_k)`: every allowed key gets something."""

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Softmax of each row, safe for rows of any size."""
        xp = namespace(scores=scores)
        mass = xp.exp(scores - _row_maximum(scores))
        total = xp.sum(mass, axis=-1, keepdims=True)
        return mass / xp.where(total == 0, 1.0, total)


@dataclass(frozen=True)
class Sigmoid(Normalizer):
    """`1 / (1 + exp(-s_j))`: each key on its own, so a row need not sum to 1.

    Adding a bias of `-log(keys)` starts rows near a sum of 1 (Ramapuram et al. 2024).
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """The logistic function of each score."""
        xp = namespace(scores=scores)
        # exp of the negative size never overflows, and -inf gives exactly 0.
        small = xp.exp(-xp.abs(scores))
        return xp.where(scores >= 0, 1.0, small) / (1.0 + small)


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    """The closest point of the probability simplex (Martins and Astudillo 2016): exact zeros.

    `w_j = max(s_j - tau, 0)` with the one `tau` for which the row sums to 1.
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Sparsemax of each row; its gradient is the identity less the mean over the support."""
        xp = namespace(scores=scores)
        z = _from_the_top(scores)
        if z.shape[-1] == 0:
            return z
        ordered = xp.sort(z, axis=-1, descending=True)
        count = _counting(ordered)
        inside = 1 + count * ordered > xp.cumulative_sum(ordered, axis=-1)
        size = xp.sum(xp.astype(inside, z.dtype), axis=-1, keepdims=True)
        last = xp.min(xp.where(inside, ordered, 0.0), axis=-1, keepdims=True)
        # tau again, from the support alone: exact, and differentiable without the sort.
        tau = (xp.sum(xp.where(z >= last, z, 0.0), axis=-1, keepdims=True) - 1) / size
        return _zero_where_masked(scores, xp.clip(z - tau, 0.0, None))


@dataclass(frozen=True)
class Entmax15(Normalizer):
    """Entmax with alpha = 1.5 (Peters, Niculae and Martins 2019): between softmax and sparsemax.

    `w_j = max(s_j / 2 - tau, 0)^2` with the one `tau` for which the row sums to 1.
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Entmax-1.5 of each row, by sorting."""
        xp = namespace(scores=scores)
        z = _from_the_top(scores / 2)
        if z.shape[-1] == 0:
            return z
        ordered = xp.sort(z, axis=-1, descending=True)
        count = _counting(ordered)
        mean = xp.cumulative_sum(ordered, axis=-1) / count
        square = xp.cumulative_sum(ordered * ordered, axis=-1) / count
        room = (1 - count * (square - mean * mean)) / count
        inside = mean - xp.sqrt(xp.clip(room, 0.0, None)) <= ordered
        last = xp.min(xp.where(inside, ordered, 0.0), axis=-1, keepdims=True)
        # tau again, from the support alone: the root is then of a positive number.
        support = z >= last
        size = xp.sum(xp.astype(support, z.dtype), axis=-1, keepdims=True)
        mean = xp.sum(xp.where(support, z, 0.0), axis=-1, keepdims=True) / size
        spread = xp.sum(xp.where(support, (z - mean) ** 2, 0.0), axis=-1, keepdims=True)
        tau = mean - xp.sqrt((1 - spread) / size)
        return _zero_where_masked(scores, xp.clip(z - tau, 0.0, None) ** 2)


@dataclass(frozen=True)
class Hard(Normalizer):
    """All weight on the best key, the first of equals; no gradient: train with `GumbelHard`."""

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """One-hot rows."""
        return _one_hot_of_best(stop_gradient(scores))


@dataclass(frozen=True)
class GumbelHard(Normalizer):
    """One sampled key a row, trained straight through (Jang, Gu and Poole 2017).

    Forward, a key is drawn from softmax(scores) by adding Gumbel noise and taking the best;
    backward, the gradient is that of `softmax((scores + noise) / temperature)`. The noise depends
    on the seed and the place only, so a row is the same however the matrix is tiled.

    Args:
        temperature: of the softmax that carries the gradient.
        seed: change it at every training step.
    """

    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; expected more than 0")

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """One-hot rows that carry the gradient of a softmax."""
        noisy = scores + _gumbel(scores, self.seed, first_row)
        soft = Softmax()(noisy / self.temperature)
        return _one_hot_of_best(stop_gradient(noisy)) + (soft - stop_gradient(soft))


class Sampled(NamedTuple):
    """A sampled position and how likely it was."""

    position: Int[Array, "..."]
    log_probability: Float[Array, "..."]


def sample(weights: Float[Array, "... keys"], *, seed: int) -> Sampled:
    """One position from each row of weights: hard attention for REINFORCE (Xu et al. 2015).

    Args:
        weights: rows that sum to 1.
        seed: change it at every step.

    Returns:
        Positions, and log-probabilities that carry the gradient.
    """
    xp = namespace(weights=weights)
    tiny = xp.finfo(weights.dtype).smallest_normal
    log = xp.log(xp.clip(weights, tiny, None))
    noisy = xp.where(weights > 0, stop_gradient(log), -math.inf)
    position = xp.argmax(noisy + _gumbel(noisy, seed, 0), axis=-1)
    return Sampled(position, xp.take_along_axis(log, position[..., None], axis=-1)[..., 0])


def reinforce(
    log_probability: Float[Array, "..."],
    reward: Float[Array, "..."],
    *,
    baseline: float | Array = 0.0,
) -> Array:
    """A loss whose gradient is the REINFORCE estimate (Williams 1992).

    `-mean(log p(position) * (reward - baseline))`: minimising it makes positions that earned more
    than the baseline likelier. The baseline changes the variance of the estimate and not its mean.
    """
    xp = namespace(log_probability=log_probability, reward=reward)
    return -xp.mean(log_probability * stop_gradient(reward - baseline))


@dataclass(frozen=True)
class MovingBaseline:
    """A moving average of past rewards, the usual baseline.

    >>> baseline = baseline.update(float(reward.mean()))
    """

    value: float = 0.0
    decay: float = 0.9

    def update(self, reward: float) -> MovingBaseline:
        """The average after one more reward."""
        return MovingBaseline(self.decay * self.value + (1 - self.decay) * reward, self.decay)


def _gumbel(rows: Array, seed: int, first_row: int) -> Array:
    """Gumbel noise for `(..., rows, keys)`, the same for a row wherever its tile starts."""
    xp = namespace(rows=rows)
    *lead, count, keys = (1, *rows.shape) if rows.ndim == 1 else rows.shape
    at = range(first_row, first_row + count)
    drawn = random.gumbel_noise(seed, range(math.prod(lead)), at, range(keys), like=rows)
    return xp.reshape(drawn, rows.shape)


def _row_maximum(scores: Array) -> Array:
    """The maximum of each row, 0 for a row of -inf; gradients need not know of it."""
    xp = namespace(scores=scores)
    if scores.shape[-1] == 0:
        return xp.zeros((*scores.shape[:-1], 1), dtype=scores.dtype)
    top = xp.max(stop_gradient(scores), axis=-1, keepdims=True)
    return xp.where(top == -math.inf, 0.0, top)


def _from_the_top(scores: Array) -> Array:
    """Scores less the row's maximum, cut at -2: what lies more than 1 below gets no weight."""
    return namespace(scores=scores).clip(scores - _row_maximum(scores), -2.0, None)


def _counting(rows: Array) -> Array:
    """1, 2, 3, ... along the last axis."""
    xp = namespace(rows=rows)
    one = xp.ones_like(rows[..., :1, :] if rows.ndim > 1 else rows)
    return xp.cumulative_sum(stop_gradient(one), axis=-1)


def _zero_where_masked(scores: Array, weights: Array) -> Array:
    return namespace(scores=scores).where(scores == -math.inf, 0.0, weights)


def _one_hot_of_best(scores: Array) -> Array:
    xp = namespace(scores=scores)
    if scores.shape[-1] == 0:
        return scores
    best = xp.max(scores, axis=-1, keepdims=True)
    hit = (scores == best) & (best > -math.inf)
    first = xp.cumulative_sum(xp.astype(hit, scores.dtype), axis=-1) == 1
    return xp.where(xp.isnan(best), best, xp.astype(hit & first, scores.dtype))
