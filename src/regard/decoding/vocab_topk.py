"""Two questions to every row of a whole vocabulary: what its `exp` sum to, and which are largest.

torch answers both by passes that write as much as they read, and its `topk` is made for short rows. On a
processor, in float32, compiled loops read each row from memory once for both: what is summed leaves behind
the peak of every block of scores, and few blocks hold anything that is among the largest.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated"

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from regard.attention.kernels.fused.rowwise import NOTHING, exp2, floor_at_lowest
from regard.compiled.call import call
from regard.compiled.jit import compiled, inlined, larger, wide_vectors
from regard.compiled.simd import WINDOW, count_trailing_zeros, not_below

__all__ = ["largest", "log_normalizer"]

BLOCK = WINDOW
WORTH = 2**17
"""Scores below which nothing is worth loading compiled code."""


def log_normalizer(logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """`logsumexp` of each row of `(rows, vocab)`: what a logit is reduced by to a log-probability.

    Returns:
        It, `(rows)`, and the peaks of each row's blocks, `(rows, blocks)`, for `largest`; `None` where
        nothing is compiled.
    """
    if not _compiles(logits):
        return logits.logsumexp(-1), None
    found = np.empty(len(logits), np.float32)
    peaks = np.empty((len(logits), -(-logits.shape[1] // BLOCK)), np.float32)
    call(_log_sums, logits.numpy(), found, peaks)
    return torch.from_numpy(found), torch.from_numpy(peaks)


def largest(scores: Tensor, count: int, peaks: Tensor | None) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of `(rows, vocab)`, in descending order, and their places.

    Among equals those of smaller places come first. A row with fewer scores above -inf ends in places
    of no meaning, with -inf.

    Args:
        scores: searched.
        count: at most `vocab`.
        peaks: what `log_normalizer` gave with the normaliser of these scores; overwritten. They may have
            become smaller since, none may be larger.
    """
    if peaks is None:
        found = scores.topk(count)
        return found.values, found.indices
    values = np.empty((len(scores), count), np.float32)
    places = np.zeros((len(scores), count), np.int64)
    call(_largest, scores.numpy(), peaks.numpy(), values, places)
    return torch.from_numpy(values), torch.from_numpy(places)


def _compiles(scores: Tensor) -> bool:
    return (
        scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and scores.numel() >= WORTH
        and scores.is_contiguous()
    )


@inlined
def _peaks_of(row, out):
    """The largest of every block of a row into `out`; the largest of all."""
    most = NOTHING
    for b in range(out.size):
        part = row[b * BLOCK : min((b + 1) * BLOCK, row.size)]
        peak = NOTHING
        for j in range(part.size):
            peak = larger(peak, part[j])
        out[b] = peak
        most = larger(most, peak)
    return most


@compiled
def _log_sums(logits, out, peaks):
    wide_vectors()
    log2e = np.float32(1 / math.log(2.0))
    for r in range(out.size):
        row = logits[r]
        most = _peaks_of(row, peaks[r])
        total = 0.0
        for start in range(0, row.size, 512):
            part = row[start : min(start + 512, row.size)]
            mass = np.float32(0)
            for j in range(part.size):
                mass += exp2(floor_at_lowest((part[j] - most) * log2e))
            total += mass
        out[r] = most + math.log(total) if most != NOTHING else NOTHING


@inlined
def _enter(value, place, best, where):
    """Put a value that is above the last of `best` at its place among them."""
    slot = best.size - 1
    while slot > 0 and best[slot - 1] < value:
        best[slot] = best[slot - 1]
        where[slot] = where[slot - 1]
        slot -= 1
    best[slot] = value
    where[slot] = place


@inlined
def _search(row, peaks, best, where):
    """The largest of a row into `best`, and whether the peaks were true enough to find them.

    Each peak is a score, so as many scores as are wanted reach the peak of that rank: no other is wanted.
    """
    end = best.size - 1
    best[:] = NOTHING
    for b in range(peaks.size):
        if peaks[b] > best[end]:
            _enter(peaks[b], 0, best, where)
    least = best[end]
    best[:] = NOTHING
    for b in range(peaks.size):
        if peaks[b] >= least and peaks[b] > best[end]:
            start = b * BLOCK
            if start + WINDOW <= row.size:
                some = not_below(row, start, least)
                while some:
                    j = start + count_trailing_zeros(some)
                    some &= some - np.uint64(1)
                    if row[j] > best[end]:
                        _enter(row[j], j, best, where)
            else:
                for j in range(start, row.size):
                    if row[j] >= least and row[j] > best[end]:
                        _enter(row[j], j, best, where)
    return best[end] >= least


@compiled
def _largest(scores, peaks, values, places):
    wide_vectors()
    for r in range(scores.shape[0]):
        if not _search(scores[r], peaks[r], values[r], places[r]):
            _peaks_of(scores[r], peaks[r])
            _search(scores[r], peaks[r], values[r], places[r])
