"""Where the axes of an array are after an equation of a jaxpr."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Dims", "identity", "moved"]

Dims: TypeAlias = tuple[tuple[int, ...], ...]
"""For each dimension of an array the axes that are in it: several after a reshape, none after a broadcast."""

_ELEMENTWISE = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "convert_element_type",
        "select_n",
        "copy",
        "copy_p",
        "max",
        "min",
        "tanh",
        "clamp",
        "integer_pow",
        "pow",
        "sqrt",
        "rsqrt",
        "stop_gradient",
        "exp",
        "log",
        "logistic",
        "sign",
        "abs",
        "reduce_precision",
        "optimization_barrier",
        "erf",
        "square",
    ]
)


def identity(rank: int) -> Dims:
    """Each axis where it is."""
    return tuple((n,) for n in range(rank))


def moved(name: str, params: Any, dims: Dims, inputs: list[Any], made: Any) -> Dims | None:
    """Where the axes of an array are in the result of an equation; `None` where they are lost."""
    source = next((x for x in inputs if getattr(x, "ndim", -1) == len(dims)), None)
    if source is None:
        return None
    if name == "transpose":
        return tuple(dims[n] for n in params["permutation"])
    if name == "squeeze":
        return tuple(dim for n, dim in enumerate(dims) if n not in params["dimensions"])
    if name == "expand_dims":
        return None
    if name == "broadcast_in_dim":
        places = dict(zip(params["broadcast_dimensions"], dims, strict=True))
        return tuple(places.get(n, ()) for n in range(made.ndim))
    if name == "reshape":
        return _reshaped(source.shape, dims, made.shape)
    if name in _ELEMENTWISE and len(dims) == made.ndim:
        return dims
    return None


def _reshaped(old: tuple[int, ...], dims: Dims, new: tuple[int, ...]) -> Dims | None:
    """Axes after a reshape that joins whole dimensions or adds and removes those of size 1."""
    found: list[tuple[int, ...]] = []
    rest = [(size, dim) for size, dim in zip(old, dims, strict=True) if size > 1]
    for size in new:
        joined: tuple[int, ...] = ()
        reached = 1
        while reached < size:
            if not rest:
                return None
            width, dim = rest.pop(0)
            joined, reached = (*joined, *dim), reached * width
        if reached != size:
            return None
        found.append(joined)
    return tuple(found)
