"""The shipped statistics as functions of one row; see `regard.attention.row_function`."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.compiled.intrinsics import larger
from regard.compiled.jit import inlined
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2

__all__ = [
    "add_counts",
    "add_entropy",
    "add_marked",
    "add_powers",
    "add_window",
    "take_largest",
]

BITS = np.float32(1 / np.log(2))


def add_entropy(row: Any, partial: Any) -> None:
    """Shannon's entropy."""
    total, weights, scores, lse = np.float32(0), row.weights, row.scores, np.float32(row.lse)
    for j in range(weights.size):
        # Without a branch, so that the loop vectorises: -inf times 0 is NaN.
        log = scores[j] - lse if scores[j] != NEGATIVE_INFINITY else np.float32(0)
        total -= weights[j] * log
    partial[0] += total


def add_powers(row: Any, partial: Any, order: Any) -> None:
    """The logarithm of the sum of powers of the weights, none of which may be 0 in float32 and count."""
    most, scores = largest_score(row), row.scores
    if most == NEGATIVE_INFINITY:
        return
    total, bits = np.float32(0), np.float32(order * BITS)
    for j in range(scores.size):
        total += exp2(clamp_exponent(bits * (scores[j] - most)))
    partial[0] = order * (most - row.lse) + np.log(total)


def take_largest(row: Any, partial: Any) -> None:
    """The largest logarithm of a weight."""
    most = largest_score(row)
    if most != NEGATIVE_INFINITY:
        partial[0] = most - row.lse


@inlined
def largest_score(row: Any) -> Any:
    """The largest score; NaN where the weights are."""
    most = NEGATIVE_INFINITY
    for score in row.scores:
        most = larger(score, most)
    return most if row.lse == row.lse else np.float32(np.nan)


def add_marked(row: Any, partial: Any, marks: Any) -> None:
    """The sum over keys whose mark is 1; 0 leaves a key out."""
    b, h = row.batch if marks.shape[0] > 1 else 0, row.head if marks.shape[1] > 1 else 0
    weights, own = row.weights, marks[b, h, row.key : row.key + row.weights.size]
    total = np.float32(0)
    for j in range(weights.size):
        total += weights[j] if own[j] != 0 else np.float32(0)
    partial[0] += total


def add_window(row: Any, partial: Any, before: Any, after: Any) -> None:
    """The sum over keys at distances from `-before` to `after`."""
    first = max(0, -before - row.distance)
    last = min(row.weights.size, after + 1 - row.distance)
    total = 0.0
    for weight in row.weights[first : max(first, last)]:
        total += weight
    partial[0] += total


def add_counts(row: Any, partial: Any, edges: Any) -> None:
    """How many weights are in each bin: those that reach its edge less those that reach the next."""
    weights, scores, before = row.weights, row.scores, np.int32(0)
    for j in range(weights.size):
        before += np.int32(scores[j] != NEGATIVE_INFINITY)
    for n in range(edges.size):
        edge, count = edges[n], np.int32(0)
        for j in range(weights.size):
            count += np.int32((weights[j] >= edge) & (scores[j] != NEGATIVE_INFINITY))
        partial[n] += before - count
        before = count
    partial[edges.size] += before
