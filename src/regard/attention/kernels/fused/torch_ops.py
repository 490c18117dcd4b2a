"""The fused kernels as operators of torch: `torch.compile` and `torch.export` see one node.

`regard::attend` computes output and statistics, `regard::attend_backward` the gradients. The operators
themselves take flat lists; everything inside works with the structures of `arguments`.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regard.attention.kernels.fused import cpu
from regard.attention.kernels.fused.arguments import (
    BackwardCall,
    CallArrays,
    ForwardCall,
    Results,
    RowGradients,
    result_shapes,
)
from regard.attention.kernels.fused.partition import block_edges

__all__ = [
    "attend",
    "attend_backward",
    "attend_backward_on_gpu",
    "attend_on_gpu",
    "numpy_call",
    "received",
]

Words = npt.NDArray[np.uint16]

RESULT_TYPES = Results(
    output=None,  # the value's
    lse=torch.float64,
    entropy=torch.float32,
    max_score=torch.float32,
    top_weights=torch.float32,
    top_indices=torch.int64,
    block_sum=torch.float32,
    block_max=torch.float32,
    received=torch.float32,
)


def as_words(tensor: Tensor) -> Words:
    """A float32 or bfloat16 tensor as 16-bit words, without a copy where features lie together."""
    tensor = tensor.detach()
    if tensor.stride(-1) != 1:  # not `contiguous`, which leaves one feature, or none, at any stride
        tensor = tensor.clone(memory_format=torch.contiguous_format)
    return np.asarray(tensor.view(torch.int16).numpy().view(np.uint16))


def from_words(array: Words, dtype: torch.dtype) -> Tensor:
    """The tensor that 16-bit words hold, without a copy."""
    if dtype == torch.float32:
        return torch.from_numpy(array.view(np.float32))
    return torch.from_numpy(array.view(np.int16)).view(dtype)


def _to_numpy(arrays: CallArrays) -> CallArrays:
    """Tensors as the processor's kernels take them."""
    query, key, value, low, high, vector, allowed, bias, sink = arrays
    return CallArrays(
        query=as_words(query),
        key=as_words(key),
        value=as_words(value),
        low=low.numpy(),
        high=high.numpy(),
        vector=None if vector is None else vector.detach().contiguous().numpy(),
        allowed=None if allowed is None else allowed.numpy(),
        bias=None if bias is None else bias.detach().numpy(),
        sink=None if sink is None else sink.detach().numpy(),
    )


def numpy_call(call: ForwardCall) -> ForwardCall:
    """A call of tensors as the processor's kernels take it."""
    return call._replace(arrays=_to_numpy(call.arrays))


def received(call: ForwardCall, lse: Tensor) -> Tensor:
    """Attention that each key received, on a processor: no operator, as it is asked of tensors with values.

    Args:
        call: of tensors.
        lse: `(batch, heads, queries)`, of the forward pass.
    """
    words = _words_each(call.arrays.query)
    return torch.from_numpy(cpu.received(numpy_call(call), lse.contiguous().numpy(), words=words))


def _words_each(tensor: Tensor) -> int:
    return 2 if tensor.dtype == torch.float32 else 1


# torch reads the names and types of an operator's arguments from the signature, which is why they are
# written out here, in the order of `ForwardCall.flat` and `BackwardCall.flat`.


@torch.library.custom_op("regard::attend", mutates_args=(), device_types="cpu")
def attend(
    query: Tensor, key: Tensor, value: Tensor, low: Tensor, high: Tensor,
    vector: Tensor | None, allowed: Tensor | None, bias: Tensor | None, sink: Tensor | None,
    scale: float, cap: float, dropout: float, seed: int, first_row: int,
    entropy: bool, top: int, query_block: int, key_block: int, received: bool, max_score: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Output and statistics on a processor, in the order of `arguments.Results`.

    The output, the log-sum-exp and the entropy have gradients, towards query, key, value, vector and sink.
    """
    call = ForwardCall.from_flat((
        query, key, value, low, high, vector, allowed, bias, sink, scale, cap, dropout, seed, first_row,
        entropy, top, query_block, key_block, received, max_score,
    ))  # fmt: skip
    results = cpu.attend(numpy_call(call), words=_words_each(query))
    found = (torch.from_numpy(x) for x in results[1:])
    return from_words(results.output, value.dtype), *found  # type: ignore[return-value]


@attend.register_kernel("cuda")
def attend_on_gpu(*flat: Any) -> tuple[Tensor, ...]:
    """Output and statistics on an NVIDIA GPU, in the order of `arguments.Results`."""
    from regard.attention.kernels.cuda import launch

    return launch.attend(ForwardCall.from_flat(flat))


@attend.register_fake
def _(*flat: Any) -> tuple[Tensor, ...]:
    arrays, settings, requested = ForwardCall.from_flat(flat)
    edges = None
    if requested.key_block:  # only then, as edges need lengths that are numbers and not symbols
        queries, keys = arrays.query.shape[2], arrays.key.shape[2]
        edges = block_edges(
            settings.first_row, queries, keys, requested.query_block, requested.key_block
        )
    shapes = result_shapes(arrays, requested, edges)
    dtypes = RESULT_TYPES._replace(output=arrays.value.dtype)
    return tuple(
        arrays.query.new_empty(shape, dtype=dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    )


@torch.library.custom_op("regard::attend_backward", mutates_args=(), device_types="cpu")
def attend_backward(
    query: Tensor, key: Tensor, value: Tensor, low: Tensor, high: Tensor,
    vector: Tensor | None, allowed: Tensor | None, bias: Tensor | None, sink: Tensor | None,
    scale: float, cap: float, dropout: float, seed: int, first_row: int,
    output_grad: Tensor, lse: Tensor, constant: Tensor, slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of query, key, value and vector on a processor."""
    call = BackwardCall.from_flat((
        query, key, value, low, high, vector, allowed, bias, sink, scale, cap, dropout, seed, first_row,
        output_grad, lse, constant, slope,
    ))  # fmt: skip
    by_row = (x.contiguous().numpy() for x in (lse, constant, slope))
    rows = RowGradients(as_words(output_grad), *by_row)
    gradients = cpu.backward(
        call._replace(arrays=_to_numpy(call.arrays), rows=rows), words=_words_each(query)
    )
    of_query, of_key, of_value, of_vector = (torch.from_numpy(x) for x in gradients)
    kind = query.dtype
    return of_query.to(kind), of_key.to(kind), of_value.to(kind), of_vector


@attend_backward.register_kernel("cuda")
def attend_backward_on_gpu(*flat: Any) -> tuple[Tensor, ...]:
    """The gradients of query, key and value on an NVIDIA GPU."""
    from regard.attention.kernels.cuda import launch

    return launch.backward(BackwardCall.from_flat(flat))


@attend_backward.register_fake
def _(*flat: Any) -> tuple[Tensor, ...]:
    arrays = BackwardCall.from_flat(flat).arrays
    query, vector = arrays.query, arrays.vector
    of_vector = query.new_empty((0,) if vector is None else vector.shape, dtype=torch.float32)
    three = (arrays.query, arrays.key, arrays.value)
    return *(torch.empty(x.shape, dtype=x.dtype) for x in three), of_vector


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keeps the arrays and two numbers for each row; the matrix is computed again."""
    ctx.set_materialize_grads(False)
    call, results = ForwardCall.from_flat(inputs), Results(*output)
    ctx.save_for_backward(*call.arrays, results.output, results.lse, results.entropy)
    ctx.settings = call.settings


def _backward(
    ctx: Any,
    output_grad: Tensor | None,
    lse_grad: Tensor | None,
    entropy_grad: Tensor | None,
    *_: Any,
) -> tuple[Tensor | None, ...]:
    """Gradients of the operator's arguments; `backward` has the formulas of `constant` and `slope`."""
    if output_grad is None and lse_grad is None and entropy_grad is None:
        return ForwardCall.flat_gradients(CallArrays(*(None,) * len(CallArrays._fields)))
    *arrays, output, lse, entropy = ctx.saved_tensors
    arrays = CallArrays(*arrays)
    constant = torch.zeros_like(lse, dtype=torch.float32)
    slope = constant
    if output_grad is None:
        output_grad = torch.zeros_like(output)
    else:
        constant = constant - (output_grad.float() * output.float()).sum(-1)
    if lse_grad is not None:
        constant = constant + lse_grad.float()
    share = None if arrays.sink is None else (arrays.sink[..., None] - lse).exp().float()
    if entropy_grad is not None and entropy_grad.numel():
        spread = entropy if share is None else entropy + share
        constant, slope = constant - entropy_grad * spread, -entropy_grad
    of_sink = None
    if share is not None and arrays.sink is not None:
        of_sink = (share * (constant - slope)).sum(-1).sum_to_size(arrays.sink.shape)
    rows = RowGradients(output_grad.to(output.dtype), lse, constant, slope)
    of_query, of_key, of_value, of_vector = attend_backward(
        *BackwardCall(arrays, ctx.settings, rows).flat()
    )
    return ForwardCall.flat_gradients(
        CallArrays(
            query=of_query,
            key=of_key,
            value=of_value,
            low=None,
            high=None,
            vector=None if arrays.vector is None else of_vector,
            sink=of_sink,
        )
    )


attend.register_autograd(_backward, setup_context=_setup_context)
