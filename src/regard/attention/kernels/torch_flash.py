"""Scaled-dot softmax on torch through its own flash kernel, and what its algebra tells for free.

The kernel never makes the matrix `P`; these identities read it all the same (`s` the scores, `lse`
the log-sum-exp of each row, which the kernel returns)::

    P X              = flash(q, k, X)                            any X in the place of the values
    entropy          = lse - scale * q . flash(q, k, k)          as -sum P log P = lse - sum P s
    received         = exp(lse of flash(k, q, bias = -lse))      columns become rows
    P^T G            = received * flash(k, q, G, bias = -lse)    the rows of that, times their sum

Outputs go through the public `scaled_dot_product_attention`, with gradients. What needs `lse` uses
a private operator and exists on the processor only; where it is missing, or the problem is another
one, the answer is `None` and the caller falls back to tiles.

What one has to know of torch (2.13, processor): a mask that needs a gradient, or dropout, silently
leaves the flash path (4 times the time, 150 times the memory); `is_causal` aligns the first query
with the first key; `lse` is 0 for a row that sees nothing and is not contiguous, and a bias that
is not contiguous costs a copy of the size of the matrix; widths of query, key and value must be
equal; a row all of whose scores are NaN gives zeros where keys are fewer than a vector's lanes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.arrays import all_finite, broadcast_heads, is_concrete, split_rows
from regard.attention.kernels import limits
from regard.attention.masks import is_causal
from regard.attention.normalizers import Softmax
from regard.attention.problem import Problem
from regard.attention.scores import Dot, DotScore, ScaledDot
from regard.shapes import Float

__all__ = ["entropy", "matmul", "received", "rmatmul"]


@dataclass(frozen=True)
class Piece:
    """A part of the matrix that one call of the kernel can do."""

    rows: slice
    columns: slice
    causal: bool = False
    bias: Tensor | None = None
    """Boolean, `True` = may attend, or float32 to add; broadcasts to the piece."""


def applies(problem: Problem) -> bool:
    """Whether these are scaled dot products, softmax and torch, with no NaN to keep apart."""
    return (
        isinstance(problem.query, Tensor)
        and isinstance(problem.score, DotScore)
        and isinstance(problem.normalizer, Softmax)
        and (problem.nonfinite is None or not is_concrete(problem.query))
        and min(problem.layout.queries, problem.layout.keys, problem.query.shape[-1]) > 0
    )


def _may_hide(problem: Problem) -> bool:
    """Whether a row of NaN might come out as zeros.

    What a masked problem was given was looked at when it was made, but not what a score made of it.
    """
    query, looked_at = problem.query, problem.mask is not None or problem.bias is not None
    if problem.layout.keys >= limits.FLASH_MIN_KEYS_NAN:
        return False
    if looked_at and isinstance(problem.score, Dot | ScaledDot):
        return False
    return query.device.type == "cpu" and not (
        is_concrete(query) and all_finite(query, problem.key)
    )


def matmul(problem: Problem, x: Tensor) -> Float[Tensor, "batch heads queries columns"] | None:
    """`P x`, differentiable: the output of attention, when `x` is the value."""
    if not applies(problem) or _may_hide(problem):
        return None
    parts, dtype = [], _working_dtype(problem, x)
    for piece in _pieces(problem):
        if piece.bias is not None and piece.bias.requires_grad:
            return None
        query, key, value = _even(
            problem.query[:, :, piece.rows].to(dtype),
            problem.key[:, :, piece.columns].to(dtype),
            x[:, :, piece.columns].to(dtype),
        )
        # A branch, since a comparison of sizes is no bool while torch traces for any.
        grouped = {} if query.shape[1] == key.shape[1] else {"enable_gqa": True}
        with torch.autocast(query.device.type, enabled=False):
            part = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=piece.bias,
                is_causal=piece.causal,
                scale=_factor(problem),
                **grouped,
            )
        parts.append(part[..., : x.shape[-1]].to(x.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _working_dtype(problem: Problem, x: Tensor) -> torch.dtype:
    """What the kernel computes in: float32 for short bfloat16 that wants a gradient.

    On a processor the kernel's bfloat16 backward pass pads short sequences to blocks: at 16 to 64
    keys it takes five times as long as in float32, at 256 as long (torch 2.13, AMX).
    """
    dtype = torch.promote_types(problem.query.dtype, x.dtype)
    training = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (problem.query, problem.key, x)
    )
    short = problem.layout.keys < limits.FLASH_MIN_KEYS_BFLOAT16
    if training and short and dtype.itemsize == 2 and x.device.type == "cpu":
        return torch.float32
    return dtype


def entropy(problem: Problem) -> Float[Tensor, "batch heads queries"] | None:
    """`lse - scale * q . (P k)`."""
    if not _readable(problem):
        return None
    exact, factor, parts = _exact(problem), _factor(problem), []
    for piece in _pieces(problem):
        query = exact.query[:, :, piece.rows]
        # A row that sees nothing has lse 0 and P k = 0: entropy 0, as it should be.
        mixed, lse = _flash(query, exact.key[:, :, piece.columns], None, piece, factor)
        parts.append(lse - factor * (query * mixed).sum(-1))
    return torch.cat(parts, 2).clamp_min(0).to(problem.layout.dtype)


def received(problem: Problem) -> Float[Tensor, "batch heads keys"] | None:
    """The sum of each column: `exp` of the log-sum-exp of the swapped problem."""
    return _swapped(problem, None)[..., 0] if _readable(problem) else None


def rmatmul(problem: Problem, g: Tensor) -> Float[Tensor, "batch heads keys columns"] | None:
    """`P^T g`: what flows back from queries to keys."""
    return _swapped(problem, g) if _readable(problem) and not g.requires_grad else None


def _swapped(problem: Problem, g: Tensor | None) -> Tensor:
    """`P^T g`, or `P^T 1` with one column, by attention with queries and keys swapped."""
    exact, layout, factor = _exact(problem), problem.layout, _factor(problem)
    query, key = (x.expand(layout.batch, -1, -1, -1) for x in (exact.query, exact.key))
    group = layout.heads // key.shape[1]
    total: Tensor = query.new_zeros(
        layout.batch, layout.heads, layout.keys, 1 if g is None else g.shape[-1]
    )
    for piece in _pieces(problem, turned=True):
        queries, keys = query[:, :, piece.rows], key[:, :, piece.columns]
        lse = _flash(queries, keys, None, piece, factor)[1]
        # Contiguous, or the kernel copies it at the size of the matrix.
        bias = _turned_bias(problem, piece, -lse[:, :, None, :].contiguous())
        for member in range(group):  # one query head of each group at a time: keys are not copied
            at = slice(member, None, group)
            answer = (
                None
                if g is None
                else g.expand(layout.batch, layout.heads, -1, -1)[:, at, piece.rows]
            )
            turned = Piece(piece.columns, piece.rows, bias=bias[:, at])
            out, mass = _flash(keys, queries[:, at], answer, turned, factor)
            share = _exp(mass, bias[:, at])[..., None]
            total[:, at, piece.columns] += share if g is None else share * out[..., : g.shape[-1]]
    if problem.mask is not None and problem.mask.same_for_all_queries:
        allowed = problem.mask.tile(layout, slice(0, 1), slice(0, layout.keys))
        total = torch.where(allowed.transpose(2, 3), total, 0.0)
    return total.to(layout.dtype)


def _turned_bias(problem: Problem, piece: Piece, less_lse: Tensor) -> Tensor:
    """The bias of the swapped piece: `-lse` of each query where the key may be seen."""
    if piece.bias is None or (problem.mask is not None and problem.mask.same_for_all_queries):
        return less_lse
    return torch.where(piece.bias.transpose(2, 3), less_lse, -math.inf).contiguous()


def _exp(lse: Tensor, bias: Tensor) -> Tensor:
    """`exp(lse)`, but 0 for rows that see nothing, whose lse the kernel gives as 0."""
    return torch.where((bias == -math.inf).all(-1), 0.0, lse.exp())


def _pieces(problem: Problem, *, turned: bool = False) -> Iterator[Piece]:
    """The matrix in parts that each need at most a small bias, without the keys nobody sees.

    Args:
        problem: whose mask and bias say what is needed.
        turned: whether the parts will also be run swapped, for which every head needs a bias.
    """
    layout, mask = problem.layout, problem.mask
    rows, columns = slice(0, layout.queries), slice(0, layout.keys)
    if problem.bias is None:
        if mask is None:
            yield Piece(rows, columns)
            return
        if mask.same_for_all_queries:
            yield Piece(rows, columns, bias=mask.tile(layout, rows, columns))
            return
        if is_causal(mask) and layout.queries == layout.keys and not turned:
            yield Piece(rows, columns, causal=True)
            return
    reach = _reach(problem) if is_concrete(problem.query) else None
    heads = layout.heads if turned or problem.bias is not None else 1
    row_bytes = 4 * layout.batch * heads * layout.keys
    for part in split_rows(
        layout.queries, row_bytes, limits.FLASH_BIAS_BYTES, max_rows=limits.FLASH_BLOCK_QUERIES
    ):
        seen = columns
        if reach is not None:
            seen = slice(int(reach[0][part].min()), int(reach[1][part].max()))
        if seen.start >= seen.stop:  # nobody here sees anything: one key, masked for all
            seen = slice(0, 1)
        yield Piece(part, seen, bias=_bias(problem, part, seen))


def _reach(problem: Problem) -> tuple[Tensor, Tensor]:
    """The first key each query sees in any example or head, and the one after the last."""
    layout = problem.layout
    ranges = None if problem.mask is None else problem.mask.intervals(layout)
    if ranges is None:
        return torch.zeros(layout.queries, dtype=torch.int64), torch.full(
            (layout.queries,), layout.keys
        )
    low, high = (end.expand(-1, -1, layout.queries) for end in ranges)
    nothing = high <= low
    low, high = low.masked_fill(nothing, layout.keys), high.masked_fill(nothing, 0)
    return low.amin((0, 1)).cpu(), high.amax((0, 1)).cpu()


def _bias(problem: Problem, rows: slice, columns: slice) -> Tensor | None:
    """What the kernel is to add in a piece: Boolean where only the mask speaks."""
    layout = problem.layout
    allowed = None if problem.mask is None else problem.mask.tile(layout, rows, columns)
    if problem.bias is None:
        needless = allowed is None or (is_concrete(allowed) and bool(allowed.all()))
        return None if needless else allowed
    bias: Tensor = problem.bias.tile(layout, rows, columns).to(layout.dtype)
    bias = bias.clamp_max(torch.finfo(layout.dtype).max)  # as in the slow twin: no inf - inf
    return bias if allowed is None else torch.where(allowed, bias, -math.inf)


def _readable(problem: Problem) -> bool:
    """Whether the private operator applies: processor, no bias, no gradient wanted."""
    wanted = torch.is_grad_enabled() and (problem.query.requires_grad or problem.key.requires_grad)
    return (
        applies(problem)
        and problem.bias is None
        and not wanted
        and problem.query.device.type == "cpu"
        and hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    )


def _exact(problem: Problem) -> Problem:
    """The problem in float32, or in float64 where its scores are large or it is small."""
    query, key = problem.query.detach(), problem.key.detach()
    size = _factor(problem) * query.float().norm(dim=-1).max() * key.float().norm(dim=-1).max()
    layout = problem.layout
    small = (
        layout.batch * layout.heads * layout.queries * layout.keys
        < limits.FLASH_MIN_WEIGHTS_FLOAT32
    )
    dtype = (
        torch.float64
        if small or abs(float(size)) > limits.FLASH_MAX_SCORE_FLOAT32
        else layout.dtype
    )
    return replace(problem, query=query.to(dtype), key=key.to(dtype))


def _factor(problem: Problem) -> float:
    return cast(DotScore, problem.score).factor(problem.query.shape[-1])


def _even(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three as the kernel wants them.

    One batch; one width, narrower ones filled up with zeros; features next to each other in memory.
    """
    batch, width = max(query.shape[0], key.shape[0]), max(query.shape[-1], value.shape[-1])
    query, key, value = (
        x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
        for x in (query, key, value)
    )
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    # Location scores have keys of one head; what a map is multiplied with may have more than them.
    key, value = (x.expand(batch, -1, -1, -1) for x in broadcast_heads(key, value, query.shape[1]))
    return query.expand(batch, -1, -1, -1), key, value


def _flash(
    query: Tensor, key: Tensor, value: Tensor | None, piece: Piece, factor: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp; the keys stand in for values that do not matter."""
    query, key, value = _even(query, key, key if value is None else value.to(key.dtype))
    bias = piece.bias
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill_(~bias, -math.inf)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, piece.causal, attn_mask=bias, scale=factor
    )
    return out, lse
