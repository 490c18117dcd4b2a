"""Two questions to every row of a whole vocabulary: what its `exp` sum to, and which are largest.

torch answers both by passes that write as much as they read, and its `topk` is made for short rows. On a
processor, in float32, compiled loops read each row once for either.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated"

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from regard.attention.kernels.compiling import compiled, larger, wide_vectors
from regard.attention.kernels.direct import call
from regard.attention.kernels.rows import NOTHING, exp2, floor_at_lowest

__all__ = ["largest", "log_normalizer"]

BLOCK = 64
WORTH = 2**17
"""Scores below which nothing is worth loading compiled code."""


def log_normalizer(logits: Tensor) -> Tensor:
    """`logsumexp` of each row of `(rows, vocab)`: what a logit is reduced by to a log-probability."""
    if not _compiles(logits):
        return logits.logsumexp(-1)
    found = np.empty(len(logits), np.float32)
    call(_log_sums, logits.numpy(), found)
    return torch.from_numpy(found)


def largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of `(rows, vocab)`, in descending order, and their places.

    Among equals those of smaller places come first. A row with fewer scores above -inf ends in places
    of no meaning, with -inf.
    """
    if not _compiles(scores):
        found = scores.topk(count)
        return found.values, found.indices
    values = np.full((len(scores), count), -np.inf, np.float32)
    places = np.zeros((len(scores), count), np.int64)
    call(_largest, scores.numpy(), values, places)
    return torch.from_numpy(values), torch.from_numpy(places)


def _compiles(scores: Tensor) -> bool:
    return (
        scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and scores.numel() >= WORTH
        and scores.is_contiguous()
    )


@compiled
def _log_sums(logits, out):
    wide_vectors()
    log2e = np.float32(1 / math.log(2.0))
    for r in range(out.size):
        row = logits[r]
        most = NOTHING
        for j in range(row.size):
            most = larger(most, row[j])
        total = 0.0
        for start in range(0, row.size, 512):
            part = row[start : min(start + 512, row.size)]
            mass = np.float32(0)
            for j in range(part.size):
                mass += exp2(floor_at_lowest((part[j] - most) * log2e))
            total += mass
        out[r] = most + math.log(total) if most != NOTHING else NOTHING


@compiled
def _largest(scores, values, places):
    wide_vectors()
    end = values.shape[1] - 1
    for r in range(scores.shape[0]):
        row, best, where = scores[r], values[r], places[r]
        for start in range(0, row.size, BLOCK):
            part = row[start : min(start + BLOCK, row.size)]
            most = NOTHING
            for j in range(part.size):
                most = larger(most, part[j])
            if most > best[end]:
                for j in range(part.size):
                    if part[j] > best[end]:
                        slot = end
                        while slot > 0 and best[slot - 1] < part[j]:
                            best[slot] = best[slot - 1]
                            where[slot] = where[slot - 1]
                            slot -= 1
                        best[slot] = part[j]
                        where[slot] = start + j
