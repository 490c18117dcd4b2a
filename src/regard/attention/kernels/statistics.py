"""Names of the statistics that kernels compute, their bounds, and NaN put back into them."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import stop_gradient
from regard.shapes import Array

__all__ = ["DEFAULT_POOL", "DEFAULT_TOPK", "NamedStatistic", "limit_entropy", "propagate_nan"]

NamedStatistic = tuple[str, *tuple[int, ...]]
"""A statistic and its numbers: `("entropy",)`, `("received",)`, `("topk", k)` or
`("pool", query_blocks, key_blocks)`. `("output",)` names the output where it is treated as one."""

DEFAULT_TOPK: NamedStatistic = ("topk", 8)
"""The list that is made where no length is named."""

DEFAULT_POOL: NamedStatistic = ("pool", 64, 64)
"""The blocks that are made where no number is named."""


def limit_entropy(entropy: Array, keys: int) -> Array:
    """Entropies of rows that sum to 1, less what rounding put above `log(keys)`; gradients stay.

    The limit is below `log(keys)` by half a unit in the last place, so that it is not above it once it is
    rounded to the type of the entropies.
    """
    xp = compat.array_namespace(entropy)
    limit = math.log(max(1, keys)) * (1 - xp.finfo(entropy.dtype).eps / 2)
    return xp.where(entropy > limit, entropy - stop_gradient(entropy - limit), entropy)


def propagate_nan(statistic: NamedStatistic, found: Any, nan_rows: Array) -> Any:
    """Sets a statistic to NaN wherever it depends on a row of the matrix whose weights are NaN.

    Kernels are given inputs without NaN (`Problem.nonfinite` remembers where it was), so that a masked
    NaN cannot leak through a product; this puts it back where it may be seen.

    Args:
        statistic: which one `found` is.
        found: an array with the axes `(batch, heads)` in front, or a pair of them for topk and pool.
        nan_rows: `(batch, heads, queries)`, Boolean.

    Returns:
        What `found` is, with NaN in it. Indices of a top-k list stay as they are.
    """
    name, *numbers = statistic
    xp = compat.array_namespace(nan_rows)
    if name in ("entropy", "lse", "max_score"):
        return xp.where(nan_rows, math.nan, found)
    if name == "output":
        return xp.where(nan_rows[..., None], math.nan, found)
    if name == "topk":
        return xp.where(nan_rows[..., None], math.nan, found[0]), found[1]
    if name == "received":  # a sum over all queries
        return xp.where(xp.any(nan_rows, axis=2, keepdims=True), math.nan, found)
    nan_blocks = _any_by_block(nan_rows, numbers[0], found[0].shape[2])[..., None]
    return tuple(xp.where(nan_blocks, math.nan, x) for x in found)


def _any_by_block(rows: Array, blocks: int, count: int) -> Array:
    """Whether any row of each block of queries is set: `(batch, heads, count)`.

    By running sums rather than a reshape: the last block may be shorter, and `torch.compile` takes
    no loop over blocks.
    """
    xp, length = compat.array_namespace(rows), rows.shape[2]
    edges = np.minimum(np.arange(count + 1) * -(-length // blocks), length)
    before = xp.cumulative_sum(xp.astype(rows, xp.int64), axis=2, include_initial=True)
    before = xp.take(before, xp.asarray(edges, device=compat.device(rows)), axis=2)
    return before[:, :, 1:] > before[:, :, :-1]
