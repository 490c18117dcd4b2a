"""Attention of one decoding step of many sequences, in the layout of a decoder's own memory.

`decode_step` serves any layer. Here key and value of a position stand side by side with all their heads, as a
projection writes them, and the sequences of an example share the keys of its source.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regard.compiled.call import call_serial
from regard.compiled.gather import add_scaled_rows, dot_rows
from regard.compiled.intrinsics import assume_contiguous, larger, wide_vectors
from regard.compiled.jit import compiled, inlined
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2
from regard.compiled.simd import LANES

__all__ = ["attend_own", "attend_source"]

Singles = npt.NDArray[np.float32]

FLOAT_BYTES = 4


def attend_own(
    projected: Tensor, memory: Tensor, row_index: Tensor, heads: int, scale: float
) -> Tensor:
    """Self-attention of the next position of each sequence, whose key and value are stored first.

    Args:
        projected: `(rows, 3 * width)`: query, key and value.
        memory: `(positions, stored, 2 * width)`: key and value. The new ones go to the last position that
            `row_index` has.
        row_index: `(rows, keys)`, the index among `stored` of each row at each position; the last is its own.
        heads: divide the width.
        scale: of the dot products, above 0.

    Returns:
        `(rows, width)`.
    """
    (rows, keys), width = row_index.shape, memory.shape[2] // 2
    output = np.empty((rows, width), np.float32)
    call_serial(
        _attend_own, projected.numpy(), memory.view(-1).numpy(), memory.shape[1], row_index.numpy(),
        heads, scale / math.log(2), output, _room(heads, keys), np.empty(keys, np.int64),
    )  # fmt: skip
    return torch.from_numpy(output)


def attend_source(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    example: Tensor,
    allowed: Tensor,
    share: Tensor,
    weights: Tensor,
    scale: float,
) -> Tensor:
    """Cross-attention of a step, in which as many neighbouring rows belong to each example.

    Args:
        query: `(rows, heads * features)`.
        key: `(stored, heads, keys, features)`, each vector contiguous.
        value: `(stored, heads, keys, features)`, each vector contiguous.
        example: `(examples,)`, the index of each among `stored`.
        allowed: `(examples, keys)` Boolean. A row that may attend to no key gets zeros.
        share: `(heads,)`, what the weights of each head count for in `weights`.
        weights: `(rows, keys)`, to which the weights are added.
        scale: of the dot products, above 0.

    Returns:
        `(rows, heads * features)`.
    """
    output = np.empty(query.shape, np.float32)
    keys = key.shape[2]
    call_serial(
        _attend_source, query.numpy(), key.numpy(), value.numpy(), example.numpy(),
        allowed.numpy(), share.numpy(), weights.numpy(), scale / math.log(2), output, _room(len(share), keys),
        np.empty((3, keys), np.int64),
    )  # fmt: skip
    return torch.from_numpy(output)


def _room(heads: int, keys: int) -> Singles:
    """Memory of the scores of one row, in whole vectors."""
    return np.empty((heads, -(-keys // LANES) * LANES), np.float32)


@compiled
def _attend_own(projected, memory, stored, row_index, heads, scale, output, scores, first):
    """`scale` holds log2 e: scores are in bits, as in the fused kernel."""
    wide_vectors()
    (rows, keys), width = row_index.shape, output.shape[1]
    features, factor = width // heads, np.float32(scale)
    # All of them are stored before any is read.
    for r in range(rows):
        new = projected[r, width:]
        start = ((keys - 1) * stored + row_index[r, keys - 1]) * 2 * width
        place = memory[start : start + 2 * width]
        for d in range(new.size):
            place[d] = new[d]
    for r in range(rows):
        for j in range(keys):
            first[j] = (j * stored + row_index[r, j]) * 2 * width
        # Head by head each of the three would wait for the one before.
        for h in range(heads):
            here = h * features
            query = projected[r, here : here + features]
            dot_rows(query, memory[here:], first, keys, scores[h])
        for h in range(heads):
            _normalize(scores[h], keys, factor)
        for h in range(heads):
            here = h * features
            out = output[r, here : here + features]
            add_scaled_rows(scores[h], memory[width + here :], first, keys, out)


@compiled
def _attend_source(
    query, key, value, example, allowed, share, weights, scale, output, scores, places
):
    """`scale` holds log2 e: scores are in bits, as in the fused kernel."""
    wide_vectors()
    (examples, keys), rows, heads = allowed.shape, query.shape[0], share.size
    of_one, features, factor = rows // examples, key.shape[3], np.float32(scale)
    key_at, value_at, position = places[0], places[1], places[2]
    for e in range(examples):
        # A masked key is not read at all: it may hold NaN, which a weight of 0 would not keep out.
        count = 0
        for j in range(keys):
            if allowed[e, j]:
                key_at[count] = (example[e] * key.strides[0] + j * key.strides[2]) // FLOAT_BYTES
                value_at[count] = (
                    example[e] * value.strides[0] + j * value.strides[2]
                ) // FLOAT_BYTES
                position[count] = j
                count += 1
        for r in range(e * of_one, (e + 1) * of_one):
            for h in range(heads):
                own = query[r, h * features : (h + 1) * features]
                dot_rows(own, assume_contiguous(key[0, h, 0]), key_at, count, scores[h])
            for h in range(heads):
                _normalize(scores[h], count, factor)
            for h in range(heads):
                out = output[r, h * features : (h + 1) * features]
                base = assume_contiguous(value[0, h, 0])
                add_scaled_rows(scores[h], base, value_at, count, out)
                if share[h] != 0:
                    for i in range(count):
                        weights[r, position[i]] += share[h] * scores[h, i]


@inlined
def _normalize(scores, count, factor):
    """The softmax in base 2 of `factor * scores[:count]`, in place; zeros if all are -inf.

    By whole vectors of 16, filled up with -inf.
    """
    end = -(-count // LANES) * LANES
    for i in range(count, end):
        scores[i] = NEGATIVE_INFINITY
    row_max = NEGATIVE_INFINITY
    for start in range(0, end, LANES):
        for i in range(start, start + LANES):
            row_max = larger(scores[i], row_max)
    if row_max == NEGATIVE_INFINITY:  # less itself it would be NaN
        row_max = np.float32(0)
    total = np.float32(0)
    for start in range(0, end, LANES):
        for i in range(start, start + LANES):
            scores[i] = exp2(clamp_exponent((scores[i] - row_max) * factor))
            total += scores[i]
    inverse = np.float32(1) / total if total != 0 else np.float32(0)
    for start in range(0, end, LANES):
        for i in range(start, start + LANES):
            scores[i] *= inverse
