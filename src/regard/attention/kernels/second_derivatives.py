"""Derivatives that no kernel has, taken by the slow twin: second ones, and those of forward mode.

A kernel computes the output and its first derivatives. Where the gradient is itself to be differentiated
(gradient penalties, Hessians, influence functions), autograd runs the backward pass with gradients enabled;
that pass then goes through the tiles of `problem.Problem` instead, which are ordinary operations of torch.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from regard.attention.arrays import checkpointed, grouped_matmul, is_concrete, log_sum_exp
from regard.attention.kernels.parameters import Parameters
from regard.attention.problem import Problem

__all__ = ["entropy_of", "lse_of", "output_of", "product_of", "with_second_derivatives"]

Compute = Callable[[Problem], Tensor]
"""Computes by tiles what a kernel computed, from query, key, value and parameters of another problem."""


def with_second_derivatives(
    problem: Problem, results: tuple[Tensor, ...], slowly: tuple[Compute, ...]
) -> tuple[Tensor, ...]:
    """The results of a kernel, whose gradients can be differentiated.

    Args:
        problem: that the kernel was given.
        results: of the kernel, with their first derivatives.
        slowly: for each result, a function that computes it from operations of torch.
    """
    inputs = (problem.query, problem.key, problem.value, *Parameters.of(problem).given())
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    if not wanted or not is_concrete(problem.query):  # compiled graphs have no second derivatives
        return results
    found: tuple[Tensor, ...] = _ByTwin.apply(problem, slowly, *results, *inputs)
    return found


def output_of(dropout: float, seed: int) -> Compute:
    """A function that computes the output of attention."""
    return lambda problem: _by_tiles(problem, lambda rows: problem.output(rows, dropout, seed))


def product_of(problem: Problem) -> Tensor:
    """`P v` for values of any width."""

    def product(rows: slice) -> Tensor:
        weights, value = problem.weights(rows), problem.value
        output: Tensor = grouped_matmul(weights, value.to(weights.dtype))
        return output.to(value.dtype)

    return _by_tiles(problem, product)


def entropy_of(problem: Problem) -> Tensor:
    """The entropy of each row."""

    def entropy(rows: slice) -> Tensor:
        weights = problem.weights(rows)
        # Not torch.special.entr, whose derivatives at a weight of 0 are infinite.
        terms: Tensor = weights * weights.where(weights > 0, 1.0).log()
        return -terms.sum(-1)

    return _by_tiles(problem, entropy)


def lse_of(problem: Problem) -> Tensor:
    """The log-sum-exp of each row and its sink; -inf, without a gradient, where all is masked."""

    def lse(rows: slice) -> Tensor:
        found: Tensor = log_sum_exp(problem.append_sink(problem.scores(rows)))
        return found.double()  # as the kernels give it

    return _by_tiles(problem, lse)


def _by_tiles(problem: Problem, function: Callable[[slice], Tensor]) -> Tensor:
    tiles = problem.tiles()
    function = checkpointed(function, problem.query) if len(tiles) > 1 else function
    return torch.cat([function(rows) for rows in tiles], 2)


class _ByTwin(torch.autograd.Function):
    """The identity on results; a backward pass that is to be differentiated avoids their graph."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, slowly: tuple[Compute, ...], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.problem, ctx.slowly = problem, slowly
        ctx.save_for_backward(*tensors[len(slowly) :])
        ctx.set_materialize_grads(False)
        return tuple(x.detach() for x in tensors[: len(slowly)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return None, None, *grads, *(None for _ in saved)
        # Views, so that one tensor in the role of two gets the gradient of each role once.
        inputs = [x.view_as(x) for x in saved]
        query, key, value, *rest = inputs
        # Rows of NaN get theirs after the kernel, and no gradient here.
        twin = replace(ctx.problem, query=query, key=key, value=value, nonfinite=None)
        own = Parameters.of(ctx.problem)
        twin = Parameters(*(None if x is None else rest.pop(0) for x in own)).into(twin)
        wanted = [x for x in inputs if x.requires_grad]
        given = [
            (slowly(twin), grad)
            for slowly, grad in zip(ctx.slowly, grads, strict=True)
            if grad is not None
        ]
        results, result_grads = zip(*given, strict=True)
        found = iter(
            torch.autograd.grad(results, wanted, result_grads, create_graph=True, allow_unused=True)
        )
        of_inputs = (next(found) if x.requires_grad else None for x in inputs)
        return None, None, *(None for _ in grads), *of_inputs
