"""The kernels as operators of torch: `torch.compile` and `torch.export` see one node.

`regard::attend` computes output and statistics, `regard::attend_backward` the gradients.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regard.attention.kernels import limits
from regard.attention.kernels.fused import cpu
from regard.attention.kernels.fused.workspace import cut

__all__ = ["attend", "attend_backward"]


def words(tensor: Tensor) -> cpu.Words:
    """A float32 or bfloat16 tensor as 16-bit words, without a copy where features lie together."""
    tensor = tensor.detach()
    if tensor.stride(-1) != 1:  # not `contiguous`, which leaves one feature, or none, at any stride
        tensor = tensor.clone(memory_format=torch.contiguous_format)
    return np.asarray(tensor.view(torch.int16).numpy().view(np.uint16))


def from_words(array: cpu.Words, dtype: torch.dtype) -> Tensor:
    """The tensor that 16-bit words are."""
    if dtype == torch.float32:
        return torch.from_numpy(array.view(np.float32))
    return torch.from_numpy(array.view(np.int16)).view(dtype)


def _arrays(
    query: Tensor, key: Tensor, value: Tensor, low: Tensor, high: Tensor,
    direction: Tensor | None, allowed: Tensor | None, bias: Tensor | None,
) -> cpu.Arrays:  # fmt: skip
    return cpu.Arrays(
        words(query), words(key), words(value), low.numpy(), high.numpy(),
        None if direction is None else direction.detach().contiguous().numpy(),
        None if allowed is None else allowed.numpy(),
        None if bias is None else bias.detach().numpy(),
    )  # fmt: skip


@torch.library.custom_op("regard::attend", mutates_args=(), device_types="cpu")
def attend(
    query: Tensor, key: Tensor, value: Tensor, low: Tensor, high: Tensor,
    direction: Tensor | None, allowed: Tensor | None, bias: Tensor | None,
    scale: float, dropout: float, seed: int, first_row: int,
    entropy: bool, top: int, query_block: int, key_block: int, received: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`engine.attend`: output, lse, entropy, top weights and places, block sums and maxima, received.

    The output and the entropy have gradients, towards query, key, value and direction.
    """
    arrays = _arrays(query, key, value, low, high, direction, allowed, bias)
    settings = cpu.Settings(scale, dropout, seed, first_row)
    asked = cpu.Asked(entropy, top, query_block, key_block, received)
    results = cpu.attend(arrays, settings, asked, wide=query.dtype == torch.float32)
    first, *others = results
    return from_words(first, value.dtype), *(torch.from_numpy(x) for x in others)  # type: ignore[return-value]


@attend.register_kernel("cuda")
def attend_on_gpu(*given):
    """The same on an NVIDIA GPU."""
    from regard.attention.kernels.cuda import launch

    arrays, settings = cpu.Arrays(*given[:8]), cpu.Settings(*given[8:12])
    return launch.attend(arrays, settings, cpu.Asked(*given[12:]))


@attend.register_fake
def _(
    query, key, value, low, high, direction, allowed, bias, scale, dropout, seed, first_row,
    entropy, top, query_block, key_block, received,
):  # fmt: skip
    by_head, queries, keys = query.shape[:2], query.shape[2], key.shape[2]
    blocks = (0, 0)
    if key_block:
        rows = cut(first_row, first_row + queries, query_block, limits.MAX_PART_QUERIES)
        blocks = len(rows) - 1, len(cut(0, keys, key_block, limits.MAX_CHUNK_KEYS)) - 1
    shapes: tuple[tuple[int, ...], ...] = (
        (queries, value.shape[3]),
        (queries,),
        (queries if entropy else 0,),
    )
    shapes += (queries, top), (queries, top), blocks, blocks, (keys if received else 0,)
    dtypes = [torch.float32] * len(shapes)
    dtypes[0], dtypes[1], dtypes[4] = value.dtype, torch.float64, torch.int64
    return tuple(
        query.new_empty((*by_head, *shape), dtype=dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    )


@torch.library.custom_op("regard::attend_backward", mutates_args=(), device_types="cpu")
def attend_backward(
    query: Tensor, key: Tensor, value: Tensor, low: Tensor, high: Tensor,
    direction: Tensor | None, allowed: Tensor | None, bias: Tensor | None,
    scale: float, dropout: float, seed: int, first_row: int,
    arrived: Tensor, lse: Tensor, constant: Tensor, slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`engine.backward`: the gradients of query, key, value and direction."""
    arrays = _arrays(query, key, value, low, high, direction, allowed, bias)
    settings = cpu.Settings(scale, dropout, seed, first_row)
    rows = (x.contiguous().numpy() for x in (lse, constant, slope))
    wide = query.dtype == torch.float32
    slopes = cpu.backward(arrays, settings, words(arrived), *rows, wide=wide)
    of_query, of_key, of_value, of_direction = (torch.from_numpy(x) for x in slopes)
    kind = query.dtype
    return of_query.to(kind), of_key.to(kind), of_value.to(kind), of_direction


@attend_backward.register_kernel("cuda")
def attend_backward_on_gpu(*given):
    """The same on an NVIDIA GPU."""
    from regard.attention.kernels.cuda import launch

    return launch.backward(cpu.Arrays(*given[:8]), cpu.Settings(*given[8:12]), *given[12:])


@attend_backward.register_fake
def _(
    query, key, value, low, high, direction, allowed, bias, scale, dropout, seed, first_row,
    arrived, lse, constant, slope,
):  # fmt: skip
    of_direction = query.new_empty(
        (0,) if direction is None else direction.shape, dtype=torch.float32
    )
    return *(torch.empty(x.shape, dtype=x.dtype) for x in (query, key, value)), of_direction


def _remember(ctx, inputs, output):
    """Keeps the arrays and what a row has come to; the matrix is made again."""
    ctx.set_materialize_grads(False)
    out, lse, entropy, *_ = output
    ctx.save_for_backward(*inputs[:8], out, lse, entropy)
    ctx.settings = inputs[8:12]


def _differentiate(ctx, arrived, of_lse, of_entropy, *others):
    *arrays, out, lse, entropy = ctx.saved_tensors
    constant = torch.zeros_like(lse, dtype=torch.float32)
    slope = constant
    if arrived is None:
        arrived = torch.zeros_like(out)
    else:
        constant = constant - (arrived.float() * out.float()).sum(-1)
    if of_lse is not None:
        constant = constant + of_lse.float()
    if of_entropy is not None and of_entropy.numel():
        constant, slope = constant - of_entropy * entropy, -of_entropy
    slopes = attend_backward(*arrays, *ctx.settings, arrived.to(out.dtype), lse, constant, slope)
    *three, of_direction = slopes
    return *three, None, None, of_direction if arrays[5] is not None else None, *[None] * 11


attend.register_autograd(_differentiate, setup_context=_remember)
