"""How differently two models attend: Jensen-Shannon distance and strongest keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairSums", "jensen_shannon_distance", "pair_sums"]

Weights = NDArray[np.floating]


def jensen_shannon_distance(first: Weights, second: Weights) -> NDArray[np.float64]:
    r"""Jensen-Shannon distance of distributions along the last axis, base 2 (Endres and Schindelin 2003).

    .. math:: d(p, q) = \sqrt{H_2\left(\tfrac{p + q}{2}\right) - \tfrac{1}{2} H_2(p) - \tfrac{1}{2} H_2(q)}

    The root of the divergence in bits: a metric, 0 for equal distributions and 1 for disjoint ones.

    >>> jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])).item()
    1.0
    """
    p, q = first.astype(np.float64), second.astype(np.float64)
    return _distance(_entropy((p + q) / 2), _entropy(p), _entropy(q))


def _distance(
    of_mean: NDArray[np.float64], of_first: NDArray[np.float64], of_second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The distance, from the entropies of the mean of two distributions and of each."""
    distance: NDArray[np.float64] = np.sqrt(np.clip(of_mean - (of_first + of_second) / 2, 0.0, 1.0))
    return distance


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits along the last axis."""
    bits: NDArray[np.float64] = -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=-1)
    return bits


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums over the queries of one text, for heads of two models.

    Attributes:
        distance: `(heads, other heads)`, Jensen-Shannon distances of every pair of heads.
        agreement: `(heads, other heads)`, queries whose strongest key is the same.
        count: number of queries that see more than one key.
    """

    distance: NDArray[np.float64]
    agreement: NDArray[np.float64]
    count: int


def pair_sums(first: Weights, second: Weights, *, free: NDArray[np.bool_]) -> PairSums:
    """Compare every head of one layer with every head of another on some rows.

    Args:
        first: `(heads, rows, keys)`.
        second: `(other heads, rows, keys)`.
        free: `(rows,)`, rows that have a choice of keys; the others would always agree.
    """
    p, q = (side[:, free].astype(np.float64) for side in (first, second))
    distance = np.zeros((len(p), len(q)))
    of_p, of_q = _entropy(p), _entropy(q)
    for head, (weights, entropy) in enumerate(zip(p, of_p, strict=True)):
        distance[head] = _distance(_entropy((weights + q) / 2), entropy, of_q).sum(axis=1)
    strongest, others = p.argmax(axis=2), q.argmax(axis=2)
    agreement = (strongest[:, None] == others[None]).sum(axis=2).astype(np.float64)
    return PairSums(distance, agreement, int(free.sum()))
