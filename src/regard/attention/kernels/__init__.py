"""Fast paths, each tested against the tile-by-tile twin (`problem.Problem`).

Every function answers `None` where no fast path fits the problem, and the caller falls back to
tiles. Two of them, both for softmax: the compiled kernels that compute output and statistics together
(`onepass`, on a processor or a GPU; `docs/kernel.md`), and torch's flash kernel (`flash`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import is_concrete, is_torch
from regard.shapes import Array

if TYPE_CHECKING:
    from regard.attention.problem import Problem

__all__ = ["Statistic", "mix", "one_pass", "output", "spoil", "spread", "statistic"]

Statistic = tuple[str, *tuple[int, ...]]
"""A statistic and its numbers: `("entropy",)`, `("received",)`, `("topk", k)` or
`("pool", query_blocks, key_blocks)`."""


def one_pass(
    problem: Problem, statistics: tuple[Statistic, ...], *, dropout: float, seed: int
) -> tuple[Array, Mapping[Statistic, Any]] | None:
    """Output and statistics together.

    Returns:
        The output, `(batch, heads, queries, values)`, in the value's type, and for each statistic
        what `AttentionMap` computes for it, with the axes `(batch, heads)` in front: an array, or
        for topk and pool a pair of arrays. Statistics it does not know may be left out.
    """
    kernel = _kernel(problem)
    if kernel is None or not kernel.fits(problem, statistics):
        return None
    output, found = kernel.one_pass(problem, statistics, dropout=dropout, seed=seed)
    if problem.nonfinite is None:
        return output, found
    bad, reached = problem.nonfinite.rows(problem)
    spoilt = {which: spoil(which, answer, bad) for which, answer in found.items()}
    return spoil(("output",), output, reached), spoilt


def output(problem: Problem) -> Array | None:
    """`P v`, differentiable."""
    mixed = _mix(problem, problem.value)
    if mixed is None or problem.nonfinite is None:
        return mixed
    return spoil(("output",), mixed, problem.nonfinite.rows(problem)[1])


def mix(problem: Problem, x: Array) -> Array | None:
    """`P x`, differentiable."""
    mixed = _mix(problem, x)
    if mixed is None or problem.nonfinite is None:
        return mixed
    return spoil(("output",), mixed, problem.nonfinite.rows(problem)[0])


def _mix(problem: Problem, x: Array) -> Array | None:
    """`P x` of what was not NaN. The flash kernel is a little faster, but must look at a mask."""
    kernel, with_x = _kernel(problem), replace(problem, value=x)
    fits = kernel is not None and kernel.fits(with_x)
    if is_torch(problem.query) and not (fits and problem.nonfinite is not None):
        from regard.attention.kernels import torch_flash

        mixed = torch_flash.mix(problem, x)
        if mixed is not None:
            return mixed
    return kernel.one_pass(with_x, ())[0] if kernel and fits else None


def spoil(which: Statistic, found: Any, bad: Array) -> Any:
    """NaN where a row's weights are."""
    name, *numbers = which
    xp = compat.array_namespace(bad)
    if name == "entropy":
        return xp.where(bad, math.nan, found)
    if name == "output":
        return xp.where(bad[..., None], math.nan, found)
    if name == "topk":
        return xp.where(bad[..., None], math.nan, found[0]), found[1]
    if name == "received":
        return xp.where(xp.any(bad, axis=2, keepdims=True), math.nan, found)
    rows = bad.shape[2]
    edges = np.minimum(np.arange(found[0].shape[2] + 1) * -(-rows // numbers[0]), rows)
    count = xp.cumulative_sum(xp.astype(bad, xp.int64), axis=2, include_initial=True)
    count = xp.take(count, xp.asarray(edges, device=compat.device(bad)), axis=2)
    spoilt = (count[:, :, 1:] > count[:, :, :-1])[..., None]
    return tuple(xp.where(spoilt, math.nan, x) for x in found)


def spread(problem: Problem, g: Array) -> Array | None:
    """`P^T g`: what flows back from queries to keys."""
    if is_torch(problem.query) and is_concrete(problem.query):
        from regard.attention.kernels import torch_flash

        return torch_flash.spread(problem, g)
    return None


def statistic(problem: Problem, which: Statistic) -> Any | None:
    """One statistic, without gradients."""
    if not is_concrete(problem.query):  # how large scores are cannot be asked
        return None
    kernel = _kernel(problem)
    if kernel and kernel.fits(problem, (which,)) and kernel.modest(problem):
        if _gradient_wanted(problem):
            return None
        return kernel.one_pass(kernel.without_values(problem), (which,))[1][which]
    if is_torch(problem.query) and which in (("entropy",), ("received",)):
        from regard.attention.kernels import torch_flash

        return (
            torch_flash.entropy(problem) if which == ("entropy",) else torch_flash.received(problem)
        )
    return None


SMALL = 2**18
"""Weights below which a few tiles are as fast as a kernel, and need not wait for its compilation."""


def _kernel(problem: Problem) -> Any | None:
    """The compiled kernel, if this problem is worth it and Numba is there."""
    layout = problem.layout
    if layout.batch * layout.heads * layout.queries * layout.keys < SMALL or not find_spec("numba"):
        return None
    from regard.attention.kernels.fused import adapter

    return adapter


def _gradient_wanted(problem: Problem) -> bool:
    if not is_torch(problem.query):
        return False
    import torch

    parts = problem.query, problem.key, problem.value, getattr(problem.score, "vector", None)
    return torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in parts)
