"""Log-sum-exp and top-k of each row of vocabulary logits, in one pass over memory.

torch computes both in passes that write as much as they read, and its `topk` is made for short rows. On
a CPU, in float32, compiled loops read each row from memory once for both: the log-sum-exp leaves
behind the maximum of every block of logits, and few blocks can hold anything that is among the largest.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated"
# pyright: reportCallIssue=false
# Numba calls an intrinsic without the typing context that its Python signature begins with.

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from regard.attention.kernels.fused.rowwise import NOTHING, exp2, floor_at_lowest
from regard.compiled.call import call
from regard.compiled.jit import compiled, inlined, larger, wide_vectors
from regard.compiled.simd import WINDOW, count_trailing_zeros, not_below

__all__ = ["log_normalizer", "topk"]

BLOCK = WINDOW
"""Logits of one block: as many as `not_below` compares at once."""

MIN_COMPILED_LOGITS = 2**17
"""Logits of a call below which loading compiled code costs more than it saves."""

_SUM_CHUNK = 512  # exponentials added up in float32 before they go to the float64 total


def log_normalizer(logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Compute `logsumexp` of each row, by which a logit exceeds its log-probability.

    Args:
        logits: `(rows, vocab)`.

    Returns:
        `(rows)`, and the maximum of each block of a row, `(rows, blocks)`, for `topk`; `None` where
        torch computes both.
    """
    if not _is_compiled(logits):
        return logits.logsumexp(-1), None
    result = np.empty(len(logits), np.float32)
    block_maxima = np.empty((len(logits), -(-logits.shape[1] // BLOCK)), np.float32)
    call(_log_sums, logits.numpy(), result, block_maxima)
    return torch.from_numpy(result), torch.from_numpy(block_maxima)


def topk(scores: Tensor, k: int, block_maxima: Tensor | None) -> tuple[Tensor, Tensor]:
    """Find the `k` largest scores of each row, in descending order, and their indices.

    Among equal scores the smaller index comes first. A row with fewer than `k` scores above -inf ends
    in scores of -inf with arbitrary indices.

    Args:
        scores: `(rows, vocab)`.
        k: at most `vocab`.
        block_maxima: from `log_normalizer` of these scores; overwritten. Scores may have been lowered
            since, but not raised.

    Returns:
        Values and indices, `(rows, k)` each.
    """
    if block_maxima is None:
        found = scores.topk(k)
        return found.values, found.indices
    values = np.empty((len(scores), k), np.float32)
    indices = np.zeros((len(scores), k), np.int64)
    call(_topk, scores.numpy(), block_maxima.numpy(), values, indices)
    return torch.from_numpy(values), torch.from_numpy(indices)


def _is_compiled(scores: Tensor) -> bool:
    return (
        scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and scores.numel() >= MIN_COMPILED_LOGITS
        and scores.is_contiguous()
    )


@inlined
def _block_maxima(row, out):
    """Write the maximum of every block of a row to `out`; return the maximum of all."""
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
def _log_sums(logits, out, maxima):
    wide_vectors()
    log2e = np.float32(1 / math.log(2.0))
    for r in range(out.size):
        row = logits[r]
        most = _block_maxima(row, maxima[r])
        # In chunks: the inner sum is float32, so that it vectorises, and short enough to stay exact.
        total = 0.0
        for start in range(0, row.size, _SUM_CHUNK):
            part = row[start : min(start + _SUM_CHUNK, row.size)]
            mass = np.float32(0)
            for j in range(part.size):
                mass += exp2(floor_at_lowest((part[j] - most) * log2e))
            total += mass
        out[r] = most + math.log(total) if most != NOTHING else NOTHING


@inlined
def _insert(value, index, best, best_index):
    """Insert a value that exceeds the last of `best` at its rank, behind its equals."""
    slot = best.size - 1
    while slot > 0 and best[slot - 1] < value:
        best[slot] = best[slot - 1]
        best_index[slot] = best_index[slot - 1]
        slot -= 1
    best[slot] = value
    best_index[slot] = index


@inlined
def _search(row, maxima, best, best_index):
    """Find the largest scores of a row, reading only blocks that may hold one of them.

    Returns:
        Whether the maxima were tight enough. They are if no score was lowered, or if enough scores
        remain at the threshold taken from them.
    """
    end = best.size - 1
    # Each maximum is a score, so the k-th largest maximum is a lower bound of the k-th largest score.
    best[:] = NOTHING
    for b in range(maxima.size):
        if maxima[b] > best[end]:
            _insert(maxima[b], 0, best, best_index)
    least = best[end]
    best[:] = NOTHING
    for b in range(maxima.size):
        if maxima[b] >= least and maxima[b] > best[end]:
            start = b * BLOCK
            if start + WINDOW <= row.size:
                # One bit per score that reaches the bound: a full block is compared at once.
                some = not_below(row, start, least)
                while some:
                    j = start + count_trailing_zeros(some)
                    some &= some - np.uint64(1)
                    if row[j] > best[end]:
                        _insert(row[j], j, best, best_index)
            else:
                for j in range(start, row.size):
                    if row[j] >= least and row[j] > best[end]:
                        _insert(row[j], j, best, best_index)
    return best[end] >= least


@compiled
def _topk(scores, maxima, values, indices):
    wide_vectors()
    for r in range(scores.shape[0]):
        if not _search(scores[r], maxima[r], values[r], indices[r]):
            # Scores that made the bound have been forbidden since: with exact maxima it holds.
            _block_maxima(scores[r], maxima[r])
            _search(scores[r], maxima[r], values[r], indices[r])
