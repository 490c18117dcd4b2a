"""Scaled-dot softmax on torch through its own flash kernel, and what its algebra tells for free.

The kernel never makes the matrix `P`; these identities read it all the same (`s` the scores, `lse` the
log-sum-exp of each row, which the kernel returns)::

    P X              = flash(q, k, X)                            any X in the place of the values
    entropy          = lse - scale * q . flash(q, k, k)          as -sum P log P = lse - sum P s
    received         = exp(lse of flash(k, q, bias = -lse))      columns become rows
    P^T G            = received * flash(k, q, G, bias = -lse)    the rows of that, times their sum
    mean of blocks   = P E / rows                                E: which keys lie in which block

Outputs go through the public `scaled_dot_product_attention`, with gradients. What needs `lse` uses a
private operator and exists on the processor only; where it is missing, or the problem is another one, the
answer is `None` and the caller falls back to tiles.

What one has to know of torch (2.13, processor): a mask that needs a gradient, or dropout, silently
leaves the flash path (4 times the time, 150 times the memory); `is_causal` aligns the first query with
the first key; `lse` is 0 for a row that sees nothing and is not contiguous, and a bias that is not
contiguous costs a copy of the size of the matrix; widths of query, key and value must be equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.arrays import split_rows
from regard.attention.masks import is_causal
from regard.attention.normalizers import Softmax
from regard.attention.problem import Problem
from regard.attention.scores import DotScore
from regard.shapes import Array, Float

__all__ = ["entropy", "mix", "received", "spread"]

PIECE_BYTES = 2**24
"""What the bias of one piece may take."""

LARGE = 32.0
"""Scores beyond this lose more than 2e-6 in float32; statistics then use float64."""


@dataclass(frozen=True)
class Piece:
    """A part of the matrix that one call of the kernel can do."""

    rows: slice
    columns: slice
    causal: bool = False
    bias: Tensor | None = None
    """Boolean, `True` = may attend, or float32 to add; broadcasts to the piece."""


def applies(problem: Problem) -> bool:
    """Whether these are scaled dot products, softmax and torch, with nothing to recompute for NaN."""
    return (
        isinstance(problem.query, Tensor)
        and isinstance(problem.score, DotScore)
        and isinstance(problem.normalizer, Softmax)
        and problem.poison is None
        and min(problem.grid.queries, problem.grid.keys, problem.query.shape[-1]) > 0
    )


def mix(problem: Problem, x: Tensor) -> Float[Tensor, "batch heads queries columns"] | None:
    """`P x`, differentiable: the output of attention, when `x` is the value."""
    if not applies(problem):
        return None
    parts = []
    for piece in _pieces(problem):
        if piece.bias is not None and piece.bias.requires_grad:
            return None
        q, k, v = _even(problem, problem.query[:, :, piece.rows], piece.columns, x)
        parts.append(_sdpa(q, k, v, piece, _factor(problem))[..., : x.shape[-1]])
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def entropy(problem: Problem) -> Float[Tensor, "batch heads queries"] | None:
    """`lse - scale * q . (P k)`."""
    if not _readable(problem) or problem.bias is not None:
        return None
    factor = _factor(problem)

    def of(problem: Problem) -> Tensor:
        parts = []
        for piece in _pieces(problem):
            q = problem.query[:, :, piece.rows]
            # A row that sees nothing has lse 0 and P k = 0: entropy 0, as it should be.
            mixed, lse = _flash(q, problem.key[:, :, piece.columns], None, piece, factor)
            parts.append(lse - factor * (q * mixed).sum(-1))
        return torch.cat(parts, 2)

    return of(_exact(problem)).clamp_min(0).to(problem.grid.dtype)


def received(problem: Problem) -> Float[Tensor, "batch heads keys"] | None:
    """The sum of each column: `exp` of the log-sum-exp of the swapped problem."""
    if not _readable(problem):
        return None
    return _swapped(problem, None)[..., 0]


def spread(problem: Problem, g: Tensor) -> Float[Tensor, "batch heads keys columns"] | None:
    """`P^T g`: what flows back from queries to keys."""
    if not _readable(problem) or g.requires_grad:
        return None
    return _swapped(problem, g)


def _swapped(problem: Problem, g: Tensor | None) -> Tensor:
    """`P^T g`, or `P^T 1` with one column: keys ask, queries answer, each less its `lse`."""
    problem = _exact(problem)
    batch, heads, keys = problem.grid.batch, problem.grid.heads, problem.grid.keys
    group, factor = heads // problem.key.shape[1], _factor(problem)
    columns = 1 if g is None else g.shape[-1]
    total = problem.query.new_zeros(batch, heads, keys, columns)
    for piece in _pieces(problem, causal=False, heads=heads):
        query = problem.query[:, :, piece.rows].expand(batch, -1, -1, -1)
        key = problem.key[:, :, piece.columns].expand(batch, -1, -1, -1)
        lse = _flash(query, key, None, piece, factor)[1]
        # Contiguous, or the kernel copies it at the size of the matrix.
        bias = _swap_bias(piece.bias, -lse[:, :, None, :].contiguous(), key.shape[2])
        for member in range(group):  # one query head of each group at a time: keys are not copied
            at = slice(member, None, group)
            answer = None if g is None else g[:, :, piece.rows].to(query.dtype)[:, at]
            turned = replace(piece, causal=False, bias=bias[:, at])
            out, mass = _flash(key, query[:, at], answer, turned, factor)
            # A key that nobody in this piece may see has lse 0 rather than -inf, and out 0.
            share = _seen(bias[:, at], mass).unsqueeze(-1)
            total[:, at, piece.columns] += share if g is None else share * out[..., :columns]
    return total.to(problem.grid.dtype)


def _swap_bias(bias: Tensor | None, less_lse: Tensor, keys: int) -> Tensor:
    """The bias of the swapped piece: `-lse` of each query, and the piece's own, turned."""
    if bias is None:
        return less_lse
    turned = bias.transpose(2, 3)
    if turned.dtype == torch.bool:
        return torch.where(turned, less_lse, -math.inf).contiguous()
    return (turned + less_lse).contiguous()


def _seen(bias: Tensor, lse: Tensor) -> Tensor:
    """`exp(lse)`, and 0 for rows whose bias is all -inf."""
    nothing = (bias == -math.inf).all(-1)
    return torch.where(nothing, 0.0, lse.exp())


def _readable(problem: Problem) -> bool:
    """Whether the private operator can be asked: processor, no gradient wanted."""
    wanted = torch.is_grad_enabled() and (problem.query.requires_grad or problem.key.requires_grad)
    return (
        applies(problem)
        and not wanted
        and problem.query.device.type == "cpu"
        and hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    )


def _exact(problem: Problem) -> Problem:
    """The problem in float32, or in float64 where its scores are too large for float32."""
    query, key = problem.query.detach(), problem.key.detach()
    size = _factor(problem) * query.float().norm(dim=-1).max() * key.float().norm(dim=-1).max()
    dtype = torch.float64 if float(size) > LARGE else problem.grid.dtype
    return replace(problem, query=query.to(dtype), key=key.to(dtype))


def _factor(problem: Problem) -> float:
    return cast(DotScore, problem.score).factor(problem.query.shape[-1])


def _flash(
    query: Tensor, key: Tensor, value: Tensor | None, piece: Piece, factor: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp; the keys stand in for values that do not matter."""
    bias = piece.bias
    if bias is not None:
        if bias.dtype == torch.bool:
            bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill_(~bias, -math.inf)
        bias = bias.to(query.dtype)
    if value is not None:
        value = value.expand(*key.shape[:3], -1)
        width = max(query.shape[-1], value.shape[-1])
        query, key, value = (F.pad(x, (0, width - x.shape[-1])) for x in (query, key, value))
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, key if value is None else value, 0.0, piece.causal, attn_mask=bias, scale=factor
    )
    return out, lse


def _sdpa(q: Tensor, k: Tensor, v: Tensor, piece: Piece, factor: float) -> Tensor:
    bias = piece.bias
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(q.dtype if q.dtype == torch.float64 else torch.float32)
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=bias,
        is_causal=piece.causal,
        scale=factor,
        enable_gqa=q.shape[1] != k.shape[1],
    )
