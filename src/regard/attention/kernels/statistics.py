"""Names of the statistics that kernels compute, their bounds, and NaN put back into them."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat as compat

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

    The last block may be shorter: it is filled up with rows that are not set.
    """
    xp, (batch, heads, length) = compat.array_namespace(rows), rows.shape
    size = -(-length // blocks)
    lacking = (batch, heads, count * size - length)
    none = xp.zeros(lacking, dtype=rows.dtype, device=compat.device(rows))
    rows = xp.reshape(xp.concat([rows, none], axis=2), (batch, heads, count, size))
    return xp.any(rows, axis=3)
