"""Normalisers: functions from rows of scores to rows of attention weights.

A normaliser takes whole rows, `(..., keys)`, in which masked scores are -inf, and returns weights of
that shape. A row that may attend to nothing (all -inf) gets zeros.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

from regard.attention import random
from regard.attention.arrays import (
    accumulation_dtype,
    device_of,
    is_array,
    namespace,
    stop_gradient,
)
from regard.attention.entmax import entmax
from regard.attention.overrides import runs
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = [
    "Entmax",
    "Entmax15",
    "GumbelHard",
    "Hard",
    "MovingBaseline",
    "Normalizer",
    "Sampled",
    "Sigmoid",
    "Softmax",
    "Sparsemax",
    "align_sink",
    "is_softmax",
    "reinforce",
    "sample",
    "softmax_of",
]


class Normalizer(ABC):
    """Base of functions from scores to weights, row by row."""

    @abstractmethod
    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """The weights of some rows.

        Args:
            scores: `(..., keys)`, whole rows; -inf where masked.
            first_row: index of the query of the first row, for normalisers that draw noise.

        Returns:
            Weights in the shape and type of the scores.
        """


@dataclass(frozen=True)
class Softmax(Normalizer):
    """Softmax, `exp(s_j) / sum_k exp(s_k)`: every allowed key gets a weight above 0.

    A *sink* is one more logit below the line, to which no key and no value belongs::

        w_j = exp(s_j) / (exp(sink) + sum_k exp(s_k))

    A query that finds nothing gives its weight to the sink: the weights of its keys sum to `1 - p`, with
    `p = exp(sink) / (exp(sink) + sum_k exp(s_k))` the share of the sink, and the sink adds nothing to the
    output. gpt-oss learns one for each head (OpenAI 2025, section 2.1); `sink=0` puts `1` below the line
    (Miller 2023, "Attention is off by one"). All weight of a query that may attend to nothing goes to the
    sink, which leaves the zeros that it gets without one.

    Args:
        sink: `None` for no sink; a number; an array with one number for all heads, with one for each,
            `(heads,)`, or that broadcasts to `(batch, heads, 1, 1)`. A learned one gets its gradient.
            It is no score: neither scale nor cap, bias or mask act on it.

    Raises:
        InputError: a number that is NaN or infinite.

    >>> import numpy as np
    >>> from regard.attention.normalizers import Softmax
    >>> Softmax(sink=0)(np.log(np.array([1.0, 2.0]))).tolist()
    [0.25, 0.5]
    """

    sink: Any = None

    def __post_init__(self) -> None:
        if self.sink is None or (is_array(self.sink) and not isinstance(self.sink, np.generic)):
            return
        number = isinstance(self.sink, int | float | np.number) and not isinstance(self.sink, bool)
        if not number or not math.isfinite(self.sink):
            raise InputError(
                f"sink is {self.sink!r}; expected a finite number (0 puts 1 below the line), an array such "
                "as one of shape (heads,), or None for no sink"
            )

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Softmax of each row; scores of any size are safe.

        Raises:
            ShapeError: a sink that does not fit the axes of the scores.
        """
        xp = namespace(scores=scores)
        sink = self.sink
        if sink is not None:
            sink = align_sink(sink, scores, tuple(scores.shape[:-2]), scores.dtype)
            sink = sink if scores.ndim > 1 else sink[0]  # one row alone stays one row
        maximum = _row_maximum(scores, sink)
        exponentials = xp.exp(scores - maximum)
        total = xp.sum(exponentials, axis=-1, keepdims=True)
        if sink is not None:
            total = total + xp.exp(sink - maximum)
        return exponentials / xp.where(total == 0, 1.0, total)


def softmax_of(normalizer: Normalizer) -> Softmax | None:
    """The softmax, with its sink, that a normaliser computes; `None` for others.

    A subclass of `Softmax` with a `__call__` of its own is another.
    """
    if not runs(normalizer, "__call__", Softmax.__call__):
        return None
    found: Any = normalizer
    return found  # type: ignore[no-any-return]


def is_softmax(normalizer: Normalizer) -> bool:
    """Whether the weights are the softmax of the scores, for fast paths that compute nothing else.

    A softmax with a sink is not, nor a subclass of `Softmax` with a `__call__` of its own.
    """
    softmax = softmax_of(normalizer)
    return softmax is not None and softmax.sink is None


def align_sink(
    sink: Any, like: Array, leading: tuple[int, ...], dtype: Any
) -> Float[Array, "... 1 1"]:
    """The sink of `Softmax` in front of rows of scores, which it broadcasts to.

    Args:
        sink: a number or an array.
        like: an array of the library and device of the result.
        leading: axes of the scores in front of rows and keys, as in `(batch, heads)`.
        dtype: of the result.

    Returns:
        The sink, with two axes of 1 behind it. An infinite one is the largest finite number: it takes all
        the weight as well, and `inf - inf` is never computed.

    Raises:
        ShapeError: an array that does not fit.
    """
    if isinstance(sink, int | float | np.generic):
        xp = namespace(like=like)
        return xp.full((1, 1), float(sink), dtype=dtype, device=device_of(like))
    xp = namespace(scores=like, sink=sink)
    given, heads = tuple(sink.shape), leading[-1] if leading else 1
    shape = (heads, 1, 1) if given == (heads,) else given
    full = (*leading, 1, 1)
    if math.prod(given) == 1:
        shape = (1, 1)
    pairs = zip(shape[::-1], full[::-1], strict=False)
    if len(shape) < 2 or len(shape) > len(full) or any(n != 1 and n != m for n, m in pairs):
        raise ShapeError(
            f"softmax has a sink of shape {given}; expected one number, ({heads},) for the heads, or an "
            f"array that broadcasts to {full}"
        )
    sink = xp.reshape(xp.astype(sink, dtype, copy=False), shape)
    if (device := device_of(like)) is not None:
        sink = compat.to_device(sink, device)
    return xp.where(sink == math.inf, xp.finfo(dtype).max, sink)


@dataclass(frozen=True)
class Sigmoid(Normalizer):
    """The logistic function, `1 / (1 + exp(-s_j))`: each key by itself, so rows need not sum to 1.

    A bias of `-log(keys)` makes rows sum to about 1 at the start of training (Ramapuram et al. 2024).
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """The logistic function of each score."""
        xp = namespace(scores=scores)
        # exp(-|s|) never overflows, and a score of -inf gives exactly 0.
        decay = xp.exp(-xp.abs(scores))
        return xp.where(scores >= 0, 1.0, decay) / (1.0 + decay)


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    """Sparsemax, the closest point of the probability simplex (Martins and Astudillo 2016).

    `w_j = max(s_j - tau, 0)` with the one `tau` for which the row sums to 1. Most weights are
    exactly 0.
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Sparsemax of each row; its gradient is the identity less the mean over the support."""
        xp = namespace(scores=scores)
        z = _shift_to_maximum(scores)
        if z.shape[-1] == 0:
            return z
        # The support is the longest run of the sorted scores with 1 + k z_(k) > sum of the first k.
        ordered = xp.sort(stop_gradient(z), axis=-1, descending=True)
        count = _ranks(ordered)
        sums = xp.cumulative_sum(ordered, axis=-1)
        size = xp.sum(xp.astype(1 + count * ordered > sums, z.dtype), axis=-1, keepdims=True)
        last = xp.astype(count == size, z.dtype)
        edge = (xp.sum(sums * last, axis=-1, keepdims=True) - 1) / size
        # tau from the unsorted support: exact, and differentiable without the sort. A score at its edge
        # has a weight of 0 and, by the paper's Jacobian, no derivative, which a clip would give it.
        support = (z > edge) | xp.isnan(z)
        size = xp.sum(xp.astype(support, z.dtype), axis=-1, keepdims=True)
        tau = (xp.sum(xp.where(support, z, 0.0), axis=-1, keepdims=True) - 1) / size
        weights = xp.where(support, z - tau, 0.0)
        rounding = stop_gradient(xp.where(weights < 0, weights, 0.0))
        return _zero_where_masked(scores, weights - rounding)


@dataclass(frozen=True)
class Entmax15(Normalizer):
    """Entmax with alpha = 1.5 (Peters, Niculae and Martins 2019): between softmax and sparsemax.

    `w_j = max(s_j / 2 - tau, 0)^2` with the one `tau` for which the row sums to 1.
    """

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Entmax-1.5 of each row, by sorting, as in the paper."""
        xp = namespace(scores=scores)
        z = _shift_to_maximum(scores / 2)
        if z.shape[-1] == 0:
            return z
        # For a support of the first k sorted scores, the sum of (z - tau)^2 is 1 where
        # tau = mean - sqrt((1 - k variance) / k); k is right while tau <= z_(k).
        ordered = xp.sort(z, axis=-1, descending=True)
        count = _ranks(ordered)
        mean = xp.cumulative_sum(ordered, axis=-1) / count
        square = xp.cumulative_sum(ordered * ordered, axis=-1) / count
        radicand = (1 - count * (square - mean * mean)) / count
        in_support = mean - xp.sqrt(xp.clip(radicand, 0.0, None)) <= ordered
        smallest = xp.min(xp.where(in_support, ordered, 0.0), axis=-1, keepdims=True)
        # tau from the unsorted support: exact, and the square root is of a positive number.
        support = z >= smallest
        size = xp.sum(xp.astype(support, z.dtype), axis=-1, keepdims=True)
        mean = xp.sum(xp.where(support, z, 0.0), axis=-1, keepdims=True) / size
        squares = xp.sum(xp.where(support, (z - mean) ** 2, 0.0), axis=-1, keepdims=True)
        tau = mean - xp.sqrt((1 - squares) / size)
        return _zero_where_masked(scores, xp.clip(z - tau, 0.0, None) ** 2)


@dataclass(frozen=True, eq=False)
class Entmax(Normalizer):
    """Entmax of any order alpha (Peters, Niculae and Martins 2019), which may be learned.

    `w_j = max((alpha - 1) s_j - tau, 0)^(1 / (alpha - 1))` with the one `tau` for which the row sums to 1. From
    1 on, the larger alpha is, the fewer keys get a weight: 1 is softmax, 2 sparsemax. Adaptively sparse
    attention (Correia, Niculae and Martins 2019) learns an alpha between 1 and 2 for each head, here
    `Entmax(1 + torch.sigmoid(a))` with a parameter `a` of shape `(heads,)`. The orders 1.5 and 2 have closed
    forms, `Entmax15` and `Sparsemax`, several times as fast. Above 4 a weight at the edge of the support rises
    by a jump, which float32 resolves to 1e-5 and less: use float64, or `Hard`.

    Args:
        alpha: more than 0: a number, or an array with one for all heads, with one for each, `(heads,)`, or that
            broadcasts to `(batch, heads, 1, 1)`. A learned one gets its gradient.

    Raises:
        InputError: a number that is not finite and positive; when called, an array of no floats.
        ShapeError: when called, an array that does not fit the heads.

    >>> import numpy as np
    >>> Entmax(1.3)(np.array([[2.0, 1.0, -1.0, -np.inf]])).round(3).tolist()
    [[0.785, 0.215, 0.0, 0.0]]
    """

    alpha: Any

    def __post_init__(self) -> None:
        if is_array(self.alpha):
            return
        number = isinstance(self.alpha, int | float) and not isinstance(self.alpha, bool)
        if not number or not 0 < self.alpha < math.inf:
            raise InputError(
                f"alpha is {self.alpha!r}; expected a number above 0 (1 is softmax, 2 sparsemax), or an array "
                "with one for each head"
            )

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """Entmax of each row, by Newton's method; it accumulates in float32 or float64."""
        xp = namespace(scores=scores)
        wide = accumulation_dtype(xp, scores)
        alpha = _alpha_of_rows(self.alpha, scores, wide)
        return xp.astype(
            entmax(xp.astype(scores, wide, copy=False), alpha), scores.dtype, copy=False
        )


def _alpha_of_rows(alpha: Any, scores: Array, dtype: Any) -> Array:
    """Alpha as an array that broadcasts to `(..., 1)`, in the library and on the device of the scores."""
    if not is_array(alpha):
        return namespace(scores=scores).asarray(alpha, dtype=dtype, device=device_of(scores))
    xp = namespace(scores=scores, alpha=alpha)
    if not xp.isdtype(alpha.dtype, "real floating"):
        raise InputError(f"alpha of Entmax holds {alpha.dtype}; expected floats")
    alpha, given, leading = (
        xp.astype(alpha, dtype, copy=False),
        tuple(alpha.shape),
        scores.shape[:-2],
    )
    if math.prod(given) == 1:
        return xp.reshape(alpha, (1,) * scores.ndim)
    shape = (*given, 1, 1) if leading and given == (leading[-1],) else given
    full = (*leading, 1, 1)
    pairs = zip(shape[::-1], full[::-1], strict=False)
    if len(shape) > len(full) or any(n != 1 and n != m for n, m in pairs):
        raise ShapeError(
            f"alpha of Entmax has shape {given}; expected one number, one for each head, or an array that "
            f"broadcasts to {full}, for scores of shape {tuple(scores.shape)}"
        )
    return xp.reshape(alpha, shape)


@dataclass(frozen=True)
class Hard(Normalizer):
    """All weight on the best key, the first of equals. It has no gradient: train with `GumbelHard`."""

    def __call__(self, scores: Float[Array, "... keys"], *, first_row: int = 0) -> Array:
        """One-hot rows; zeros for a masked row."""
        return _one_hot_of_best(stop_gradient(scores))


@dataclass(frozen=True)
class GumbelHard(Normalizer):
    """One sampled key per row, with the straight-through gradient (Jang, Gu and Poole 2017).

    Forward, a key is drawn from softmax(scores) by adding Gumbel noise and taking the best;
    backward, the gradient is that of `softmax((scores + noise) / temperature)`. The noise depends
    only on the seed and the position in the matrix, so tiling does not change a row.

    Args:
        temperature: of the softmax that carries the gradient.
        seed: of the noise; pass another one at every training step.

    Raises:
        InputError: a temperature that is not positive.
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
    """Positions drawn from rows of weights.

    Attributes:
        position: index of the key, one for each row.
        log_probability: of that key, with gradient.
    """

    position: Int[Array, "..."]
    log_probability: Float[Array, "..."]


def sample(weights: Float[Array, "... keys"], *, seed: int) -> Sampled:
    """Draw one position from each row of weights: hard attention for REINFORCE (Xu et al. 2015).

    Args:
        weights: `(..., keys)`, rows that sum to 1.
        seed: of the draw; pass another one at every step.

    Returns:
        Positions `(...)` and their log-probabilities, which carry the gradient.
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

    `-mean(log p(position) * (reward - baseline))`: minimising it makes positions whose reward was
    above the baseline more probable. The baseline changes the variance of the estimate, not its mean.

    Args:
        log_probability: of the drawn positions, from `sample`.
        reward: of each draw; no gradient flows through it.
        baseline: a number or an array that broadcasts to the rewards.
    """
    xp = namespace(log_probability=log_probability, reward=reward)
    return -xp.mean(log_probability * stop_gradient(reward - baseline))


@dataclass(frozen=True)
class MovingBaseline:
    """An exponential moving average of past rewards, the usual baseline.

    Attributes:
        value: the average.
        decay: weight of the past average; a new reward has weight `1 - decay`.

    >>> from regard.attention.normalizers import MovingBaseline
    >>> MovingBaseline(value=1.0, decay=0.5).update(2.0).value
    1.5
    """

    value: float = 0.0
    decay: float = 0.9

    def update(self, reward: float) -> MovingBaseline:
        """The average after one more reward."""
        return MovingBaseline(self.decay * self.value + (1 - self.decay) * reward, self.decay)


def _gumbel(rows: Array, seed: int, first_row: int) -> Array:
    """Gumbel noise for `(..., rows, keys)`; a row's noise does not depend on where its tile starts."""
    xp = namespace(rows=rows)
    *leading, count, keys = (1, *rows.shape) if rows.ndim == 1 else rows.shape
    queries = range(first_row, first_row + count)
    noise = random.gumbel_noise(seed, range(math.prod(leading)), queries, range(keys), like=rows)
    return xp.reshape(noise, rows.shape)


def _row_maximum(scores: Array, sink: Array | None = None) -> Array:
    """The maximum of each row and its sink, 0 where all is -inf; without gradient, as shifts cancel."""
    xp = namespace(scores=scores)
    if scores.shape[-1] == 0:
        return xp.zeros((*scores.shape[:-1], 1), dtype=scores.dtype)
    maximum = xp.max(stop_gradient(scores), axis=-1, keepdims=True)
    if sink is not None:
        maximum = xp.maximum(maximum, stop_gradient(sink))
    return xp.where(maximum == -math.inf, 0.0, maximum)


def _shift_to_maximum(scores: Array) -> Array:
    """Scores less the row's maximum, clipped at -2: a score more than 1 below gets no weight."""
    return namespace(scores=scores).clip(scores - _row_maximum(scores), -2.0, None)


def _ranks(rows: Array) -> Array:
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
