"""One query a row against a few keys each, wherever these stand: what a step of decoding asks.

A step is all overhead to a kernel made for matrices, and the keys of a beam are those of its ancestors,
which the rows of this step share in every way. So keys and values stay where they were written, a table says
where, and nothing is gathered. Float32 on a processor, without gradients.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from regard.compiled.call import call_serial
from regard.compiled.intrinsics import assume_contiguous, larger, wide_vectors
from regard.compiled.jit import compiled
from regard.compiled.math import NEGATIVE_INFINITY, clamp_exponent, exp2, tanh

__all__ = ["attend_decode"]

LN2 = math.log(2)

Singles = npt.NDArray[np.float32]


def attend_decode(
    query: Singles,
    key: Singles,
    value: Singles,
    row_index: npt.NDArray[np.int64],
    allowed: npt.NDArray[np.bool_] | None,
    *,
    scale: float,
    cap: float | None = None,
    sink: Singles | None = None,
) -> tuple[Singles, Singles]:
    """Output and weights of `softmax(scale * q . k) @ v` for each row and head.

    With a cap the scores are `cap * tanh(scale * q . k / cap)`.

    Args:
        query: `(rows, heads, features)`.
        key: `(stored, key_heads, keys, features)`, each vector contiguous.
        value: `(stored, key_heads, keys, values)`, each vector contiguous.
        row_index: `(rows, keys)`, the index among `stored` of the key of each row and position.
        allowed: `(stored, keys)`, `False` where no row may attend; `None` for no mask.
        scale: of the dot products.
        cap: of the scores.
        sink: `(rows, heads)`, one more logit below the line of the softmax.

    Returns:
        Output `(rows, heads, values)` and weights `(rows, heads, keys)`; zeros for a row that may attend to
        no key.
    """
    (rows, heads, _), keys = query.shape, key.shape[2]
    output = np.empty((rows, heads, value.shape[3]), np.float32)
    weights = np.empty((rows, heads, keys), np.float32)
    no_mask, no_sink = np.empty((0, 0), np.bool_), np.empty((0, 0), np.float32)
    call_serial(
        _attend, query, key, value, row_index, no_mask if allowed is None else allowed,
        scale / LN2, 0.0 if cap is None else float(cap), no_sink if sink is None else sink, output, weights,
    )  # fmt: skip
    return output, weights


@compiled
def _attend(query, key, value, row_index, allowed, scale, cap, sink, output, weights):
    """The loop over rows and heads. `scale` holds log2 e: scores are in bits, as in the fused kernel."""
    wide_vectors()
    heads, keys = query.shape[1], key.shape[2]
    group = heads // key.shape[1]
    masked = allowed.size > 0
    factor = np.float32(scale)
    inward, outward = np.float32(LN2 / cap), np.float32(cap / LN2)
    for r in range(query.shape[0]):
        for h in range(heads):
            q, p = assume_contiguous(query[r, h]), assume_contiguous(weights[r, h])
            o, g = assume_contiguous(output[r, h]), h // group
            # Scores and their maximum. Each key is read where it was stored, by whichever row wrote it.
            row_max = NEGATIVE_INFINITY
            for j in range(keys):
                score = NEGATIVE_INFINITY
                if not masked or allowed[row_index[r, j], j]:
                    k = assume_contiguous(key[row_index[r, j], g, j])
                    dot = np.float32(0)
                    for d in range(q.size):
                        dot += q[d] * k[d]
                    score = dot * factor
                p[j] = score
                row_max = larger(row_max, score)
            if cap:
                row_max = NEGATIVE_INFINITY
                for j in range(keys):
                    seen = not masked or allowed[row_index[r, j], j]
                    p[j] = outward * tanh(p[j] * inward) if seen else NEGATIVE_INFINITY
                    row_max = larger(row_max, p[j])
            total = np.float32(0)
            if sink.size:
                logit = np.float32(sink[r, h] / LN2)
                row_max = larger(row_max, logit)
                total = (
                    exp2(clamp_exponent(logit - row_max)) if logit != NEGATIVE_INFINITY else total
                )
            for j in range(keys):
                # Not by exp2 alone: where all is masked the maximum is -inf, and -inf - -inf is NaN.
                seen = p[j] != NEGATIVE_INFINITY
                p[j] = exp2(clamp_exponent(p[j] - row_max)) if seen else np.float32(0)
                total += p[j]
            for d in range(o.size):
                o[d] = np.float32(0)
            if total != 0:
                for j in range(keys):
                    p[j] /= total
                    # A masked value may hold NaN, which a weight of 0 would not keep out.
                    if not masked or allowed[row_index[r, j], j]:
                        v, w = assume_contiguous(value[row_index[r, j], g, j]), p[j]
                        for d in range(o.size):
                            o[d] += w * v[d]
