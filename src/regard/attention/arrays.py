"""Array operations that the array API standard does not name, for NumPy, torch and JAX.

Everything else in `regard.attention` is written against the standard (array-api-compat). torch and JAX
are imported only inside functions, when an array of theirs has come, so neither is needed for the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.exporting import is_exporting
from regard.errors import InputError
from regard.shapes import Array

__all__ = [
    "accumulation_dtype",
    "all_finite",
    "beyond_backward",
    "broadcast_heads",
    "checkpointed",
    "computes_as_float32",
    "copied",
    "device_of",
    "grouped_matmul",
    "is_array",
    "is_concrete",
    "is_numpy",
    "is_on_host",
    "is_torch",
    "log_sum_exp",
    "matmul",
    "namespace",
    "no_autocast",
    "split_rows",
    "stop_gradient",
    "take_along_last",
    "to_numpy",
    "topk",
    "torch_transforms",
    "transpose",
    "widest_float",
]

TILE_BYTES = 8 * 2**20
"""Memory of one tile on the path without kernels: a few megabytes, near a processor's cache."""


# Questions about an array


def namespace(**arrays: Array) -> Any:
    """The array library that all of `arrays` belong to; the keywords name them in the error.

    Raises:
        InputError: something that is no array, or arrays of several libraries.
    """
    for name, array in arrays.items():
        if not is_array(array):
            raise InputError(
                f"{name} is a {type(array).__name__}; expected a NumPy array, a torch tensor or a "
                f"JAX array (try numpy.asarray({name}, dtype=float))"
            )
    try:
        return compat.array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name} {type(array).__module__}" for name, array in arrays.items())
        raise InputError(f"arrays of several libraries: {kinds}; convert them to one") from None


def is_array(value: Any) -> bool:
    """Whether `value` is an array of a supported library, and not a list or a number."""
    return bool(compat.is_array_api_obj(value))


def is_numpy(xp: Any) -> bool:
    """Whether an array namespace is NumPy's."""
    return bool(compat.is_numpy_namespace(xp))


def is_torch(array: Array) -> bool:
    """Whether `array` is a torch tensor; does not import torch."""
    return bool(compat.is_torch_array(array))


def device_of(array: Array) -> Any:
    """The device on which new arrays must be made to meet `array`; `None` for JAX."""
    return None if compat.is_jax_array(array) else compat.device(array)


def is_concrete(array: Array) -> bool:
    """Whether `array` has values now, so that Python may branch on them.

    It has none on torch's meta device, nor while JAX traces a function, torch compiles one or `torch.func` maps
    one.
    """
    if compat.is_jax_array(array):
        from jax.core import Tracer

        return not isinstance(array, Tracer)
    if compat.is_torch_array(array):
        import torch

        if torch.compiler.is_compiling() or array.device.type == "meta":
            return False
        # Not by an import, which takes twice as long as the rest; every layer asks.
        functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
        return not functorch.is_functorch_wrapped_tensor(array)
    return True


def beyond_backward(array: Array) -> bool:
    """Whether torch takes derivatives in forward mode, or derivatives of derivatives by `torch.func`.

    Kernels have first derivatives in reverse mode only. (JAX has no kernels here.)
    """
    kinds = torch_transforms(array)
    if "Jvp" in kinds or kinds.count("Grad") > 1:
        return True
    if not compat.is_torch_array(array):
        return False
    import torch

    return not torch.compiler.is_compiling() and torch.autograd.forward_ad._current_level >= 0


def torch_transforms(array: Array) -> list[str]:
    """The transforms of `torch.func` under way: "Grad", "Jvp", "Vmap"; from outside in."""
    if not compat.is_torch_array(array):
        return []
    import torch

    if torch.compiler.is_compiling():
        return []
    from torch._C._functorch import get_interpreter_stack

    return [level.key().name for level in get_interpreter_stack() or ()]


def is_on_host(array: Array) -> bool:
    """Whether values of `array` can be read at no cost: they exist, and not on another device."""
    if not is_concrete(array):
        return False
    return not is_torch(array) or bool(array.device.type == "cpu")


def all_finite(*arrays: Array) -> bool:
    """Whether no element is NaN or infinite, judged by the sum: one pass, no temporary array.

    Finite numbers whose sum overflows are reported as not finite, which costs time, never truth.
    """
    xp = namespace(array=arrays[0])
    return bool(xp.isfinite(sum(xp.sum(x, dtype=accumulation_dtype(xp, x)) for x in arrays)))


def computes_as_float32(half: Array) -> bool:
    """Whether float16 is better widened where `half` is: everywhere but on another device of torch's."""
    return not is_torch(half) or bool(half.device.type == "cpu")


def accumulation_dtype(xp: Any, *arrays: Array) -> Any:
    """The type statistics accumulate in: float64 if any input is float64, else float32."""
    return xp.float64 if any(a.dtype == xp.float64 for a in arrays) else xp.float32


def widest_float(xp: Any, *dtypes: Any) -> Any:
    """The float type that holds the numbers of all of `dtypes`.

    As `result_type`, which torch cannot trace.
    """
    if any(dtype == xp.float64 for dtype in dtypes):
        return xp.float64
    if all(dtype == dtypes[0] for dtype in dtypes):
        return dtypes[0]
    halves = [getattr(xp, name, None) for name in ("float16", "bfloat16", "float32")]
    known = all(any(dtype == half for half in halves if half is not None) for dtype in dtypes)
    return xp.float32 if known else xp.result_type(*dtypes)


# Gradients and precision


def checkpointed(function: Callable[..., Array], like: Array) -> Callable[..., Array]:
    """`function` with gradient checkpointing: the backward pass recomputes its intermediates.

    Arrays that `function` takes from outside its arguments, such as the weights of a module, get
    their gradients, too.

    Args:
        function: returns an array of the library of `like`.
        like: an array of that library; for NumPy, `function` is returned unchanged.
    """
    if compat.is_torch_array(like):
        import torch
        from torch.utils.checkpoint import checkpoint

        # torch.func has no hooks for saved tensors, by which checkpoints work.
        hooks = is_concrete(like) or torch.compiler.is_compiling()
        if torch.is_grad_enabled() and hooks and not beyond_backward(like):
            return partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)
    if compat.is_jax_array(like):
        import jax

        return lambda *args: jax.checkpoint(lambda: function(*args))()
    return function


def stop_gradient(array: Array) -> Array:
    """The values of `array`, without its gradient."""
    if compat.is_torch_array(array):
        return array.detach()
    if compat.is_jax_array(array):
        import jax

        return jax.lax.stop_gradient(array)
    return array


def no_autocast(like: Array) -> AbstractContextManager[Any]:
    """A context in which torch's autocast is off for the device of `like`: products keep their type."""
    if is_exporting() or not compat.is_torch_array(like) or like.device.type == "meta":
        return nullcontext()
    import torch

    return torch.autocast(like.device.type, enabled=False)


# Operations


def to_numpy(values: Any) -> np.ndarray:
    """`values` as a NumPy array on the host; bfloat16, which NumPy does not have, as float32."""
    if not is_torch(values):
        return np.asarray(values)
    import torch

    values = values.detach().cpu()
    return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)


def copied(array: Array) -> Array:
    """A copy that shares no memory with `array`; gradients flow through it. JAX arrays never change."""
    if compat.is_jax_array(array):
        return array
    return array.clone() if is_torch(array) else array.copy()


def transpose(array: Array) -> Array:
    """The last two axes exchanged."""
    return namespace(array=array).matrix_transpose(array)


def matmul(a: Array, b: Array) -> Array:
    """`a @ b`, in JAX too with the precision of its numbers.

    On GPUs and TPUs JAX multiplies float32 numbers after rounding them to 10 bits or fewer, unless told
    otherwise. Who has set `jax_default_matmul_precision` gets what is set.
    """
    if not compat.is_jax_array(a):
        return a @ b
    import jax

    set_by_user = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return jax.numpy.matmul(a, b, precision=set_by_user or "highest")


def grouped_matmul(a: Array, b: Array) -> Array:
    """`a @ b` for grouped heads: `a` may have a multiple of the heads of `b`, which is not copied.

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
        return matmul(a, b)
    xp = namespace(a=a, b=b)
    if is_exporting():  # whether rows can be folded depends on how they lie in memory
        return matmul(a, xp.repeat(b, heads // key_heads, axis=1))
    # The heads of a group become further rows: one product for each key head, and no copy of `b`.
    folded = xp.reshape(a, (batch, key_heads, heads // key_heads * rows, inner))
    product = matmul(folded, b)
    return xp.reshape(product, (product.shape[0], heads, rows, b.shape[-1]))


def broadcast_heads(a: Array, b: Array, heads: int) -> tuple[Array, Array]:
    """Two arrays of grouped heads, with one number of heads for both.

    Args:
        a: `(batch, heads_a, ...)`; `heads_a` divides `heads`.
        b: `(batch, heads_b, ...)`; `heads_b` divides `heads`.
        heads: the query's.

    Returns:
        Both with the larger number of heads, or with all `heads` where neither divides the other.
        Nothing is copied where an array has enough heads, or has one.
    """
    xp = namespace(a=a, b=b)
    fewer, more = min(a.shape[1], b.shape[1]), max(a.shape[1], b.shape[1])
    count = heads if more % fewer else more

    def with_count(x: Array) -> Array:
        if x.shape[1] == 1:
            return xp.broadcast_to(x, (x.shape[0], count, *x.shape[2:]))
        return x if x.shape[1] == count else xp.repeat(x, count // x.shape[1], axis=1)

    return with_count(a), with_count(b)


def log_sum_exp(array: Array) -> Array:
    """`log(sum(exp(array)))` over the last axis; -inf, with a gradient of 0, where all of it is -inf."""
    xp = namespace(array=array)
    if not array.shape[-1]:
        return xp.sum(array, axis=-1) - math.inf
    largest = stop_gradient(xp.max(array, axis=-1, keepdims=True))
    largest = xp.where(largest == -math.inf, 0.0, largest)
    total = xp.sum(xp.exp(array - largest), axis=-1)
    none = total == 0
    return xp.where(none, -math.inf, largest[..., 0] + xp.log(xp.where(none, 1.0, total)))


def topk(array: Array, k: int) -> tuple[Array, Array]:
    """The `k` largest entries of the last axis, in descending order, and their indices.

    NaN is larger than every number, in every library.
    """
    xp = namespace(array=array)
    if compat.is_torch_array(array):
        largest = array.topk(k, dim=-1)
        return largest.values, largest.indices
    falling = -xp.where(xp.isnan(array), math.inf, array)
    if compat.is_numpy_array(array) and k < array.shape[-1]:
        # A partial sort first: k is small beside the row.
        candidates = np.argpartition(falling, k - 1, axis=-1)[..., :k]
        order = np.argsort(np.take_along_axis(falling, candidates, -1), axis=-1, kind="stable")
        indices = np.take_along_axis(candidates, order, -1)
    else:
        indices = xp.argsort(falling, axis=-1, stable=True)[..., :k]
    return xp.take_along_axis(array, indices, axis=-1), indices


def take_along_last(array: Array, indices: Array) -> Array:
    """Entries of the last axis by index; all other axes must be equal."""
    if compat.is_torch_array(array):
        # Not take_along_dim, whose broadcasting makes a traced graph hold for these sizes alone.
        return array.gather(-1, indices)
    return namespace(array=array).take_along_axis(array, indices, axis=-1)


def split_rows(
    rows: int, row_bytes: int, max_bytes: int = TILE_BYTES, *, max_rows: int | None = None
) -> list[slice]:
    """`range(rows)` in slices whose tiles take about `max_bytes`.

    Args:
        rows: of the matrix; no rows are one empty slice.
        row_bytes: memory of one row.
        max_bytes: memory of one tile; a tile has at least one row, however large.
        max_rows: rows of one tile; no limit unless given.
    """
    if is_exporting() or (max_rows is None and rows * row_bytes <= max_bytes):
        # Without a minimum, by which a traced graph would hold for this number of rows alone.
        return [slice(0, rows)]
    size = max(1, min(max_rows or rows, rows, max_bytes // max(1, row_bytes)))
    count = max(1, math.ceil(rows / size))
    return [slice(i * size, min(rows, (i + 1) * size)) for i in range(count)]
