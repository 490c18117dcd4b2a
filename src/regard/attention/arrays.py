"""The few things the array API standard does not name, for NumPy, torch and JAX alike.

Everything else in this room is written once against the standard (array-api-compat). torch is never
imported here: a tensor brings its own namespace along.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.errors import InputError
from regard.shapes import Array

__all__ = [
    "accumulation_dtype",
    "all_finite",
    "broadcast_heads",
    "checkpointed",
    "device_of",
    "grouped_matmul",
    "is_concrete",
    "is_on_host",
    "is_torch",
    "namespace",
    "no_autocast",
    "split_rows",
    "stop_gradient",
    "to_numpy",
    "topk",
    "transpose",
]

TILE_BYTES = 8 * 2**20
"""What one tile of the slow path may take: a few megabytes, near a processor's cache."""


def namespace(**arrays: Array) -> Any:
    """The array library that all of `arrays` belong to; the keywords name them in the error."""
    for name, array in arrays.items():
        if not compat.is_array_api_obj(array):
            raise InputError(
                f"{name} is a {type(array).__name__}; expected a NumPy array, a torch tensor or a "
                f"JAX array (try numpy.asarray({name}, dtype=float))"
            )
    try:
        return compat.array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name} {type(array).__module__}" for name, array in arrays.items())
        raise InputError(f"arrays of several libraries: {kinds}; convert them to one") from None


def is_torch(array: Array) -> bool:
    """Whether `array` is a torch tensor (asked without importing torch)."""
    return bool(compat.is_torch_array(array))


def device_of(array: Array) -> Any:
    """Where new arrays must be made to meet `array`; JAX places its own."""
    return None if compat.is_jax_array(array) else compat.device(array)


def is_concrete(array: Array) -> bool:
    """Whether `array` has values now, so that Python may branch on them.

    It has none while JAX traces a function, torch compiles one or `torch.func` maps one.
    """
    if compat.is_jax_array(array):
        import jax

        return not isinstance(array, jax.core.Tracer)
    if compat.is_torch_array(array):
        import torch

        if torch.compiler.is_compiling():
            return False
        return not torch._C._functorch.is_functorch_wrapped_tensor(array)
    return True


def is_on_host(array: Array) -> bool:
    """Whether looking at values of `array` costs nothing: they exist, and not on another device."""
    if not is_concrete(array):
        return False
    return not is_torch(array) or bool(array.device.type == "cpu")


def all_finite(*arrays: Array) -> bool:
    """Whether no number is NaN or infinite, as their sums tell: one pass, and nothing written.

    Finite numbers whose sum is not are taken for infinite ones.
    """
    xp = namespace(array=arrays[0])
    return bool(xp.isfinite(sum(xp.sum(x, dtype=accumulation_dtype(xp, x)) for x in arrays)))


def checkpointed(function: Callable[..., Array], like: Array) -> Callable[..., Array]:
    """`function`, whose backward pass computes its intermediates again instead of keeping them.

    What it takes from outside (weights of a module, say) gets its gradient all the same.
    """
    if compat.is_torch_array(like):
        import torch
        from torch.utils.checkpoint import checkpoint

        if torch.is_grad_enabled():
            return partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)
    if compat.is_jax_array(like):
        import jax

        return lambda *args: jax.checkpoint(lambda: function(*args))()
    return function


def to_numpy(values: Any) -> np.ndarray:
    """`values` as a NumPy array on the host; bfloat16, which NumPy has not, as float32."""
    if not is_torch(values):
        return np.asarray(values)
    import torch

    values = values.detach().cpu()
    return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)


def accumulation_dtype(xp: Any, *arrays: Array) -> Any:
    """The type statistics accumulate in: float64 if any input is, else float32."""
    return xp.float64 if any(a.dtype == xp.float64 for a in arrays) else xp.float32


def stop_gradient(array: Array) -> Array:
    """The same values, through which no gradient flows."""
    if compat.is_torch_array(array):
        return array.detach()
    if compat.is_jax_array(array):
        import jax

        return jax.lax.stop_gradient(array)
    return array


def transpose(array: Array) -> Array:
    """The last two axes exchanged."""
    return namespace(array=array).matrix_transpose(array)


def grouped_matmul(a: Array, b: Array) -> Array:
    """`a @ b` where `a` may have a multiple of the heads of `b`, whose memory is not copied.

    Args:
        a: `(batch, heads, rows, inner)`.
        b: `(batch, key_heads, inner, columns)`; `key_heads` divides `heads`, either batch may be 1.

    Returns:
        `(batch, heads, rows, columns)`; head `h` of `a` meets head `h // (heads / key_heads)` of
        `b`.
    """
    batch, heads, rows, inner = a.shape
    key_heads = b.shape[1]
    if heads == key_heads:
        return a @ b
    xp = namespace(a=a, b=b)
    # The heads of a group become further rows: one product for each key head, and no copy of `b`.
    folded = xp.reshape(a, (batch, key_heads, heads // key_heads * rows, inner))
    product = folded @ b
    return xp.reshape(product, (product.shape[0], heads, rows, b.shape[-1]))


def no_autocast(like: Array) -> AbstractContextManager[None]:
    """A context in which products keep their type, whatever torch's autocast says outside."""
    if not compat.is_torch_array(like):
        return nullcontext()
    import torch

    return torch.autocast(like.device.type, enabled=False)


def broadcast_heads(a: Array, b: Array, heads: int) -> tuple[Array, Array]:
    """Both with as many heads, where each may have a divisor of `heads`, shared by groups.

    Nothing is copied where they have as many already, or one has one.
    """
    xp, few, many = namespace(a=a, b=b), min(a.shape[1], b.shape[1]), max(a.shape[1], b.shape[1])
    count = heads if many % few else many

    def even(x: Array) -> Array:
        if x.shape[1] == 1:
            return xp.broadcast_to(x, (x.shape[0], count, *x.shape[2:]))
        return x if x.shape[1] == count else xp.repeat(x, count // x.shape[1], axis=1)

    return even(a), even(b)


def topk(array: Array, count: int) -> tuple[Array, Array]:
    """The `count` largest entries of the last axis, in descending order, and their places."""
    xp = namespace(array=array)
    if compat.is_torch_array(array):
        values, places = array.topk(count, dim=-1)
        return values, places
    if compat.is_numpy_array(array) and count < array.shape[-1]:
        candidates = np.argpartition(-array, count - 1, axis=-1)[..., :count]
        order = np.argsort(-np.take_along_axis(array, candidates, -1), axis=-1, kind="stable")
        best: Array = np.take_along_axis(candidates, order, -1)
    else:
        best = xp.argsort(array, axis=-1, descending=True)[..., :count]
    return xp.take_along_axis(array, best, axis=-1), best


def split_rows(
    rows: int, row_bytes: int, budget: int = TILE_BYTES, *, most: int | None = None
) -> list[slice]:
    """`range(rows)` in slices whose tiles take about `budget` bytes, and `most` rows each."""
    size = max(1, min(most or rows, rows, budget // max(1, row_bytes)))
    count = max(1, math.ceil(rows / size))  # no rows are one empty tile
    return [slice(i * size, min(rows, (i + 1) * size)) for i in range(count)]
