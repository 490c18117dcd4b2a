"""Softmax over dot products by torch's flash kernel, and statistics read from it by algebra.

The kernel never makes the matrix `P`; these identities give what a map asks for all the same (`s` the
scores, `lse` the log-sum-exp of each row, which the kernel returns)::

    P X              = flash(q, k, X)                            X takes the place of the values
    entropy          = lse - scale * q . flash(q, k, k)          as -sum P log P = lse - sum P s
    received         = exp(lse of flash(k, q, bias = -lse))      columns become rows
    P^T G            = received * flash(k, q, G, bias = -lse)    the rows of that, times their sum

Outputs go through the public `scaled_dot_product_attention`, with gradients. What needs `lse` uses
a private operator, which exists on the processor only. Where it is missing or the problem does not fit,
every function returns `None` and the caller falls back to tiles.

Behaviour of torch (2.13, processor) that the code relies on or works around:

* a mask that needs a gradient, or dropout, silently leaves the flash path (4 times the time, 150 times
  the memory);
* `is_causal` aligns the first query with the first key, not the last with the last;
* `lse` is 0 for a row that sees nothing, and is not contiguous;
* a bias that is not contiguous costs a copy of the size of the matrix;
* query, key and value must have one width;
* a row whose scores are all NaN gives zeros where the keys do not fill a vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.arrays import (
    all_finite,
    broadcast_heads,
    is_concrete,
    no_autocast,
    split_rows,
)
from regard.attention.kernels import limits
from regard.attention.masks import is_causal, tile_for_all_queries
from regard.attention.normalizers import is_softmax
from regard.attention.problem import Problem
from regard.attention.scores import dot_factor, keeps_inputs
from regard.shapes import Float

__all__ = ["entropy", "matmul", "received", "rmatmul"]


class Block(NamedTuple):
    """A part of the matrix that one call of the kernel computes.

    Ends are numbers, as torch compiles a tuple or dataclass that holds slices for one length alone.
    """

    first_row: int
    end_row: int
    first_column: int
    end_column: int
    causal: bool = False
    bias: Tensor | None = None
    """Boolean, `True` = may attend, or float32 to add; broadcasts to `rows` by `columns`."""

    @property
    def rows(self) -> slice:
        """The queries of the block."""
        return slice(self.first_row, self.end_row)

    @property
    def columns(self) -> slice:
        """The keys of the block."""
        return slice(self.first_column, self.end_column)


def _applies(problem: Problem) -> bool:
    """Whether the problem is softmax over dot products of tensors, with no NaN that a mask may hide."""
    return (
        isinstance(problem.query, Tensor)
        and dot_factor(problem.score, problem.query.shape[-1]) is not None
        and is_softmax(problem.normalizer)
        and (problem.nonfinite is None or not is_concrete(problem.query))
        and min(*problem.query.shape, *problem.key.shape[:3]) > 0
    )


def _may_lose_nan(problem: Problem) -> bool:
    """Whether the kernel might return zeros for a row whose scores are all NaN.

    The inputs of a masked problem were checked for NaN when it was made. The parameters of a score
    were not, so that what it projects may hold one all the same.
    """
    query, checked = problem.query, problem.mask is not None or problem.bias is not None
    if problem.layout.keys >= limits.FLASH_MIN_KEYS_NAN:
        return False
    if checked and keeps_inputs(problem.score):
        return False
    return query.device.type == "cpu" and not (
        is_concrete(query) and all_finite(query, problem.key)
    )


def matmul(problem: Problem, x: Tensor) -> Float[Tensor, "batch heads queries columns"] | None:
    """`P x`, differentiable: the output of attention, when `x` is the value."""
    if not _applies(problem) or _may_lose_nan(problem):
        return None
    parts, dtype = [], _working_dtype(problem, x)
    for block in _blocks(problem):
        if block.bias is not None and (
            block.bias.requires_grad or _loses_gradient(problem, block.bias, x)
        ):
            return None
        query, key, value = _kernel_inputs(
            problem.query[:, :, block.rows].to(dtype),
            problem.key[:, :, block.columns].to(dtype),
            x[:, :, block.columns].to(dtype),
        )
        # `enable_gqa=heads != key_heads` would not do: torch.compile may trace sizes as symbols, whose
        # comparison is no bool.
        grouped = {} if query.shape[1] == key.shape[1] else {"enable_gqa": True}
        with no_autocast(query):
            part = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=block.bias,
                is_causal=block.causal,
                scale=_factor(problem),
                **grouped,
            )
        parts.append(part[..., : x.shape[-1]].to(x.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _working_dtype(problem: Problem, x: Tensor) -> torch.dtype:
    """The type the kernel computes in: float32 for short bfloat16 that needs a gradient.

    See `limits.FLASH_MIN_KEYS_BFLOAT16`.
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
    """The entropy of each row, `lse - scale * q . (P k)`."""
    if not _has_lse(problem):
        return None
    exact, factor, parts = _in_dtype(problem, torch.float64), _factor(problem), []
    for block in _blocks(problem):
        query = exact.query[:, :, block.rows]
        # A row that sees nothing has lse 0 and P k = 0: entropy 0, as it should be.
        mean_key, lse = _flash(query, exact.key[:, :, block.columns], None, block, factor)
        parts.append(lse - factor * (query * mean_key).sum(-1))
    return torch.cat(parts, 2).clamp_min(0).to(problem.layout.dtype)


def received(problem: Problem) -> Float[Tensor, "batch heads keys"] | None:
    """The sum of each column: `exp` of the log-sum-exp of the transposed problem."""
    return _transposed_product(problem, None)[..., 0] if _has_lse(problem) else None


def rmatmul(problem: Problem, g: Tensor) -> Float[Tensor, "batch heads keys columns"] | None:
    """`P^T g`, from queries back to keys."""
    return _transposed_product(problem, g) if _has_lse(problem) and not g.requires_grad else None


def _transposed_product(problem: Problem, g: Tensor | None) -> Tensor:
    """`P^T g`, or `P^T 1` with one column where `g` is `None`, by attention from keys to queries.

    A weight is `exp(s_ij - lse_i)`. With `-lse_i` as the bias of query `i`, key `j` attends to the queries
    by `exp(s_ij - lse_i) / column_sum_j`, and the kernel returns `log column_sum_j` as its `lse`.
    """
    exact = _in_dtype(problem, torch.float64) if g is None else _for_product(problem)
    layout, factor = problem.layout, _factor(problem)
    query, key = (x.expand(layout.batch, -1, -1, -1) for x in (exact.query, exact.key))
    group, mask = layout.heads // key.shape[1], problem.mask
    # One row for all queries stays out of the bias, which it would make as large as the matrix.
    shared = None if mask is None else tile_for_all_queries(mask, layout)
    total: Tensor = query.new_zeros(
        layout.batch, layout.heads, layout.keys, 1 if g is None else g.shape[-1]
    )
    for block in _blocks(problem, transposed=True):
        queries, keys = query[:, :, block.rows], key[:, :, block.columns]
        lse = _flash(queries, keys, None, block, factor)[1]
        # Contiguous, or the kernel copies it at the size of the matrix.
        bias = -lse[:, :, None, :].contiguous()
        if shared is None:
            bias = _transposed_bias(block, bias)
        # One query head of each group at a time, so that grouped keys need no copies.
        for head_in_group in range(group):
            at = slice(head_in_group, None, group)
            g_rows = (
                None
                if g is None
                else g.expand(layout.batch, layout.heads, -1, -1)[:, at, block.rows]
            )
            transposed = block._replace(causal=False, bias=bias[:, at])
            out, column_lse = _flash(keys, queries[:, at], g_rows, transposed, factor)
            column_sum = _exp_lse(column_lse, bias[:, at])[..., None]
            total[:, at, block.columns] += (
                column_sum if g is None else column_sum * out[..., : g.shape[-1]]
            )
    if shared is not None:
        total = torch.where(shared.transpose(2, 3), total, 0.0)
    return total.to(layout.dtype)


def _transposed_bias(block: Block, negative_lse: Tensor) -> Tensor:
    """The bias of the transposed block: `-lse` of each query, -inf where it may not attend."""
    if block.bias is None:
        return negative_lse
    return torch.where(block.bias.transpose(2, 3), negative_lse, -math.inf).contiguous()


def _exp_lse(lse: Tensor, bias: Tensor) -> Tensor:
    """`exp(lse)`, but 0 for rows that see nothing, for which the kernel returns an lse of 0."""
    return torch.where((bias == -math.inf).all(-1), 0.0, lse.exp())


def _blocks(problem: Problem, *, transposed: bool = False) -> Iterator[Block]:
    """Cuts the matrix into blocks that need a small bias at most, without keys that no query sees.

    Args:
        problem: its mask and bias decide.
        transposed: whether blocks will be computed transposed, too, which takes a bias for every head.
    """
    layout, mask = problem.layout, problem.mask
    whole = Block(0, layout.queries, 0, layout.keys)
    if problem.bias is None:
        if mask is None:
            yield whole
            return
        allowed = tile_for_all_queries(mask, layout)
        if allowed is not None:
            yield whole._replace(bias=allowed)
            return
        if is_causal(mask) and layout.queries == layout.keys and not transposed:
            yield whole._replace(causal=True)
            return
    concrete = is_concrete(problem.query)
    key_range = _key_range(problem) if concrete else None
    heads = layout.heads if transposed or problem.bias is not None else 1
    row_bytes = 4 * layout.batch * heads * layout.keys
    # A traced problem skips no keys, and a graph with a fixed number of blocks would fit few lengths.
    most = limits.FLASH_BLOCK_QUERIES if concrete else None
    for part in split_rows(layout.queries, row_bytes, limits.FLASH_BIAS_BYTES, max_rows=most):
        first, end = 0, layout.keys
        if key_range is not None:
            first, end = int(key_range[0][part].min()), int(key_range[1][part].max())
            if first >= end:  # nothing is seen: one key, masked for all
                first, end = 0, 1
        block = Block(part.start, part.stop, first, end)
        yield block._replace(bias=_bias(problem, block.rows, block.columns))


def _loses_gradient(problem: Problem, bias: Tensor, x: Tensor) -> bool:
    """Whether the largest bias of a row, +inf or -1e9 for every key, would make the kernel's gradients wrong.

    It keeps the log-sum-exp of a row for its backward pass, and beside a number of that size the logarithm of
    how many keys share the row is lost: each would count as if it had all of the weight.
    """
    if bias.dtype == torch.bool or not torch.is_grad_enabled() or not is_concrete(problem.query):
        return False
    if not any(part.requires_grad for part in (problem.query, problem.key, x)):
        return False
    largest = limits.FLASH_LARGEST_BIAS * (1 if bias.dtype == torch.float32 else 2**29)
    highest = bias.amax(-1)
    return bool(((highest.abs() > largest) & (highest > -math.inf)).any())


def _key_range(problem: Problem) -> tuple[Tensor, Tensor]:
    """The first key that each query sees in any example or head, and the one after the last."""
    layout = problem.layout
    ranges = problem.key_ranges()
    if ranges is None:
        return torch.zeros(layout.queries, dtype=torch.int64), torch.full(
            (layout.queries,), layout.keys
        )
    low, high = (end.expand(-1, -1, layout.queries) for end in ranges)
    nothing = high <= low
    low, high = low.masked_fill(nothing, layout.keys), high.masked_fill(nothing, 0)
    return low.amin((0, 1)).cpu(), high.amax((0, 1)).cpu()


def _bias(problem: Problem, rows: slice, columns: slice) -> Tensor | None:
    """The bias of a block: Boolean where there is only a mask, `None` where all is allowed."""
    layout = problem.layout
    allowed, added = problem.mask_tile(rows, columns), problem.bias_tile(rows, columns)
    if added is None:
        needless = allowed is None or (is_concrete(allowed) and bool(allowed.all()))
        return None if needless else allowed
    bias: Tensor = added.to(layout.dtype)
    bias = bias.clamp_max(torch.finfo(layout.dtype).max)  # as in the slow twin: no inf - inf
    return bias if allowed is None else torch.where(allowed, bias, -math.inf)


def _has_lse(problem: Problem) -> bool:
    """Whether the private operator, which returns `lse`, applies: processor, no bias, no gradient.

    Nor are there scores so large that a float64 `lse` has no room for the logarithm of a row's sum.
    """
    wanted = torch.is_grad_enabled() and (problem.query.requires_grad or problem.key.requires_grad)
    return (
        _applies(problem)
        and problem.bias is None
        and not wanted
        and problem.query.device.type == "cpu"
        and hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
        and not _largest_score(problem) > limits.FLASH_MAX_SCORE_FLOAT64
    )


def _largest_score(problem: Problem) -> float:
    """A bound on the scores: the longest query times the longest key (Cauchy and Schwarz)."""
    query, key = (x.detach().double().norm(dim=-1).max() for x in (problem.query, problem.key))
    return abs(_factor(problem) * float(query * key))


def _for_product(problem: Problem) -> Problem:
    """The problem in float32, or in float64 where its scores are large or the matrix is small."""
    layout = problem.layout
    small = (
        layout.batch * layout.heads * layout.queries * layout.keys
        < limits.FLASH_MIN_WEIGHTS_FLOAT32
    )
    large = _largest_score(problem) > limits.FLASH_MAX_SCORE_FLOAT32
    return _in_dtype(problem, torch.float64 if small or large else layout.dtype)


def _in_dtype(problem: Problem, dtype: torch.dtype) -> Problem:
    return replace(
        problem, query=problem.query.detach().to(dtype), key=problem.key.detach().to(dtype)
    )


def _factor(problem: Problem) -> float:
    factor = dot_factor(problem.score, problem.query.shape[-1])
    assert factor is not None  # `_applies`
    return factor


def _kernel_inputs(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value as the kernel takes them.

    One batch; one width, the narrower ones padded with zeros; features side by side in memory.
    """
    batch, width = max(query.shape[0], key.shape[0]), max(query.shape[-1], value.shape[-1])
    query, key, value = (
        x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
        for x in (query, key, value)
    )
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    # Keys of a location score have one head; the right operand of a map may have more heads than its keys.
    key, value = (x.expand(batch, -1, -1, -1) for x in broadcast_heads(key, value, query.shape[1]))
    return query.expand(batch, -1, -1, -1), key, value


def _flash(
    query: Tensor, key: Tensor, value: Tensor | None, block: Block, factor: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of a block; the keys are the values where `value` is `None`."""
    query, key, value = _kernel_inputs(query, key, key if value is None else value.to(key.dtype))
    bias = block.bias
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill_(~bias, -math.inf)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, block.causal, attn_mask=bias, scale=factor
    )
    return out, lse
