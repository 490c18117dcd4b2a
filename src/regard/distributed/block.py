"""One block of the matrix: its rows, its gradients and its sums, by the fused kernel or tile by tile.

The softmax of a row runs over blocks that other processes hold. Once its log-sum-exp over all of them is
known, every weight is `exp(score - lse)`, and what is summed over queries (received mass, pooled blocks,
gradients) is summed over blocks and processes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from regard.attention import kernels
from regard.attention.arrays import grouped_matmul, no_autocast, split_rows
from regard.attention.problem import Problem
from regard.distributed.rows import PartialRows

__all__ = [
    "INFINITE_SCORE",
    "RowGradients",
    "gradients",
    "row_tiles",
    "rows_of_block",
    "weights_and_scores",
]

INFINITE_SCORE = 2**27 * math.log(2)
"""The score of a bias of +inf, as in the fused kernel: more than any other, yet in float64 the logarithm of
what several blocks share can still be added to it."""


class RowGradients(NamedTuple):
    """What the gradients of a block need to know of each row over all blocks.

    The gradient of a score is `weight * (output_grad . value + constant + slope * log weight)`; see
    `regard/attention/kernels/fused/backward.py`.
    """

    output: Tensor
    """(batch, heads, queries, values): the gradient of the output."""
    lse: Tensor
    """(batch, heads, queries) float64; -inf for rows that have no gradient."""
    constant: Tensor
    """(batch, heads, queries)."""
    slope: Tensor
    """(batch, heads, queries)."""


def rows_of_block(problem: Problem, first_key: int, top: int) -> PartialRows:
    """Output, log-sum-exp, entropy, largest score and largest weights of the rows of a block.

    Args:
        problem: the block.
        first_key: position of its first key in the whole sequence.
        top: length of the lists of largest weights, where the block has as many keys.
    """
    top = min(top, problem.layout.keys)
    found = kernels.rows(problem, top)
    if found is not None:
        part = PartialRows(*found)
    else:
        parts = [_by_tile(problem, rows, top) for rows in problem.tiles()]
        part = PartialRows(*(torch.cat(columns, 2) for columns in zip(*parts, strict=True)))
    if problem.nonfinite is not None:
        nan_rows, nan_output = problem.nonfinite.rows(problem)
        part = part._replace(
            lse=part.lse.masked_fill(nan_rows, math.nan),
            max_score=part.max_score.masked_fill(nan_rows, math.nan),
            output=part.output.masked_fill(nan_output[..., None], math.nan),
        )
    return part._replace(top_keys=part.top_keys + first_key)


def _by_tile(problem: Problem, rows: slice, top: int) -> PartialRows:
    """By operations of torch: some rows of the block."""
    with no_autocast(problem.query):
        scores = problem.scores(rows).clamp(max=INFINITE_SCORE)
        largest_score = scores.amax(-1, keepdim=True)
        most = largest_score.masked_fill(largest_score == -math.inf, 0.0)
        weights = (scores - most).exp()
        total = weights.sum(-1, keepdim=True, dtype=torch.float64)
        # Rounded to float32 the bound is another number.
        exact = most.double().masked_fill(most >= most.new_tensor(INFINITE_SCORE), INFINITE_SCORE)
        lse = (exact + total.log())[..., 0]
        weights = weights / total.to(weights.dtype).masked_fill(total == 0, 1.0)
        output = grouped_matmul(weights, problem.value.to(weights.dtype))
    entropy = -(weights * weights.where(weights > 0, 1.0).log()).sum(-1)
    largest = weights.topk(top, -1) if top else _no_top(lse)
    return PartialRows(output, lse, entropy, largest_score[..., 0], *largest)


def _no_top(lse: Tensor) -> tuple[Tensor, Tensor]:
    none = lse.new_zeros((*lse.shape, 0), dtype=torch.float32)
    return none, none.to(torch.int64)


def row_tiles(problem: Problem, rows: slice) -> list[slice]:
    """Rows of a block in tiles of a few megabytes."""
    layout = problem.layout
    row_bytes = layout.batch * layout.heads * layout.keys * layout.dtype.itemsize
    parts = split_rows(rows.stop - rows.start, row_bytes)
    return [slice(rows.start + part.start, rows.start + part.stop) for part in parts]


def weights_and_scores(problem: Problem, lse: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Weights of some rows of a block under the log-sum-exp of whole rows, and the scores.

    Args:
        problem: the block.
        lse: `(batch, heads, queries)` float64, of the queries of the block over all keys.
        rows: of the block.

    Returns:
        Weights and scores, `(batch, heads, rows, keys)`; scores are -inf where masked.
    """
    with no_autocast(problem.query):
        scores = problem.scores(rows)
    return _weights(scores, lse[:, :, rows, None]), scores


def _weights(scores: Tensor, lse: Tensor) -> Tensor:
    """`exp(scores - lse)`, with the rounding of `lse` to the type of the scores made good; NaN stays."""
    lse = lse.masked_fill(lse == -math.inf, math.inf)  # rows that see nothing: weights of 0
    rounded = lse.to(scores.dtype)
    correction = (rounded.to(lse.dtype) - lse).nan_to_num(nan=0.0).exp().to(scores.dtype)
    weights = (scores - rounded).exp_().mul_(correction)
    if bool((lse > INFINITE_SCORE / 2).logical_and(lse != math.inf).any()):  # a bias of +inf
        of_all = (INFINITE_SCORE - lse).exp().to(scores.dtype)
        weights = torch.where(scores >= scores.new_tensor(INFINITE_SCORE), of_all, weights)
    return weights


def gradients(problem: Problem, rows: RowGradients) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value of a block, in the shapes that they have in the problem."""
    found = kernels.gradients(problem, *rows)
    if found is None:
        found = _gradients_by_tile(problem, rows)
    return found


def _gradients_by_tile(problem: Problem, rows: RowGradients) -> tuple[Tensor, Tensor, Tensor]:
    dtype = problem.layout.dtype
    totals = [torch.zeros_like(x, dtype=dtype) for x in (problem.query, problem.key, problem.value)]
    for part in problem.tiles():
        found = _gradients_of_tile(problem, rows, part)
        for total, grad in zip(totals, found, strict=True):
            total += grad
    return totals[0], totals[1], totals[2]


def _gradients_of_tile(problem: Problem, rows: RowGradients, part: slice) -> tuple[Tensor, ...]:
    """Gradients that some rows contribute: those of the scores by formula, from there on by autograd."""
    dtype = problem.layout.dtype
    inputs = [
        x.detach().to(dtype).requires_grad_() for x in (problem.query, problem.key, problem.value)
    ]
    query, key, value = inputs
    with torch.enable_grad(), no_autocast(query):
        scores = replace(problem, query=query, key=key, value=value).scores(part)
        output_grad, lse, constant, slope = (x[:, :, part] for x in rows)
        output_grad = output_grad.to(dtype)
        weights = _weights(scores.detach(), lse[..., None])
        of_weights = grouped_matmul(output_grad, value.detach().mT)
        log = weights.where(weights > 0, 1.0).log()
        of_scores = weights * (of_weights + constant[..., None] + slope[..., None] * log)
        output = grouped_matmul(weights, value)
        return torch.autograd.grad((scores, output), inputs, (of_scores.to(dtype), output_grad))
