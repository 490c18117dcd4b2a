"""Fast paths, each tested against the tile-by-tile twin (`problem.Problem`).

Every function answers `None` where no fast path fits the problem, and the caller falls back to
tiles. Two of them, both for softmax on a processor: the compiled kernel that computes output and
statistics in one pass (`onepass`, `docs/kernel.md`), and torch's flash kernel (`flash`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from regard.attention.arrays import is_torch
from regard.shapes import Array

if TYPE_CHECKING:
    from regard.attention.problem import Problem

__all__ = ["Statistic", "mix", "one_pass", "spread", "statistic"]

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
    found: tuple[Array, Mapping[Statistic, Any]] = kernel.one_pass(
        problem, statistics, dropout=dropout, seed=seed
    )
    return found


def mix(problem: Problem, x: Array) -> Array | None:
    """`P x`, differentiable: the output of attention, when `x` is the value."""
    if is_torch(problem.query):
        from regard.attention.kernels import flash

        mixed = flash.mix(problem, x)
        if mixed is not None:
            return mixed
    kernel, problem = _kernel(problem), replace(problem, value=x)
    if kernel is None or not kernel.fits(problem):
        return None
    return kernel.one_pass(problem, ())[0]


def spread(problem: Problem, g: Array) -> Array | None:
    """`P^T g`: what flows back from queries to keys."""
    if is_torch(problem.query):
        from regard.attention.kernels import flash

        return flash.spread(problem, g)
    return None


def statistic(problem: Problem, which: Statistic) -> Any | None:
    """One statistic, without gradients."""
    kernel = _kernel(problem)
    if kernel and kernel.fits(problem, (which,)) and kernel.modest(problem):
        if _gradient_wanted(problem):
            return None
        return kernel.one_pass(kernel.without_values(problem), (which,))[1][which]
    if is_torch(problem.query) and which in (("entropy",), ("received",)):
        from regard.attention.kernels import flash

        return flash.entropy(problem) if which == ("entropy",) else flash.received(problem)
    return None


SMALL = 2**18
"""Weights below which a few tiles are as fast as a kernel, and need not wait for its compilation."""


def _kernel(problem: Problem) -> Any | None:
    """The compiled kernel, if this problem is worth it and Numba is there."""
    grid = problem.grid
    if grid.batch * grid.heads * grid.queries * grid.keys < SMALL or not find_spec("numba"):
        return None
    from regard.attention.kernels import onepass

    return onepass


def _gradient_wanted(problem: Problem) -> bool:
    if not is_torch(problem.query):
        return False
    import torch

    parts = problem.query, problem.key, problem.value, getattr(problem.score, "vector", None)
    return torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in parts)
