"""Query, key and value as `attend` computes with them: arrays of one library and one float type."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.attention.arrays import device_of, is_array, is_torch, namespace, widest_float
from regard.errors import InputError, ShapeError
from regard.shapes import Array

__all__ = ["as_inputs", "shape_of"]


def as_inputs(query: Any, key: Any, value: Any) -> tuple[Any, tuple[Array, Array, Array]]:
    """The library of query, key and value, and the three with 2 to 4 axes and one float type.

    The type is the widest float type among them. Integers, and lists of numbers, have no float type of
    their own and take that one; where all three are such, it is the library's default: float64 in NumPy,
    `torch.get_default_dtype()`, float32 in JAX. A vector becomes a sequence of one position.

    Raises:
        InputError: arrays of several libraries; anything that holds no real numbers.
        ShapeError: a number of axes other than 1 to 4.
    """
    arrays = {"query": query, "key": key, "value": value}
    listed = [
        name for name, array in arrays.items() if isinstance(array, list | tuple | int | float)
    ]
    if listed:
        arrays = _without_lists(arrays, listed)
    arrays = {name: _plain(name, array) for name, array in arrays.items()}
    xp = namespace(**arrays)
    first, second, third = (array.dtype for array in arrays.values())
    same = first == second == third and _is_float(xp, first)
    if listed or not same:
        arrays = _of_one_type(xp, arrays, listed)
    for name, array in arrays.items():
        if array.ndim == 1:
            arrays[name] = array[None]
        elif not 1 < array.ndim <= 4:
            raise ShapeError(
                f"{name} has shape {tuple(array.shape)}; expected 2 to 4 axes, "
                "(batch, heads, length, features), or one vector"
            )
    return xp, (arrays["query"], arrays["key"], arrays["value"])


def shape_of(array: Any) -> tuple[int, ...]:
    """The shape of an array or list."""
    return tuple(array.shape) if is_array(array) else np.shape(array)


def _without_lists(arrays: dict[str, Any], listed: list[str]) -> dict[str, Array]:
    """Lists of numbers as arrays of the others' library, of NumPy where all are lists."""
    like = next((array for array in arrays.values() if is_array(array)), None)
    converted = dict(arrays)
    for name in listed:
        try:
            array = np.asarray(arrays[name])
        except ValueError:  # rows of several lengths
            array = np.asarray(None)
        if array.dtype.kind not in "iuf":
            raise InputError(
                f"{name} is a {type(arrays[name]).__name__}; expected a NumPy array, a torch tensor, a JAX "
                f"array or a list of numbers (try numpy.asarray({name}, dtype=float))"
            )
        if like is not None:
            array = namespace(like=like).asarray(array, device=device_of(like))
        converted[name] = array
    return converted


def _plain(name: str, array: Any) -> Any:
    """An array of every number it has a place for: no subclass of NumPy's with rules of its own.

    Raises:
        InputError: a masked array, whose mask would be lost; a sparse tensor.
    """
    if isinstance(array, np.ndarray):
        if isinstance(array, np.ma.MaskedArray):
            raise InputError(
                f"{name} is a masked array of NumPy; expected a plain one: {name}.filled(0), and "
                "mask=regard.padding(...) for the keys that are missing"
            )
        return array if type(array) is np.ndarray else np.asarray(array)
    if is_torch(array) and str(array.layout) != "torch.strided":
        raise InputError(
            f"{name} is a tensor of layout {array.layout}; expected a dense one (try {name}.to_dense())"
        )
    return array


def _is_float(xp: Any, dtype: Any) -> bool:
    """Whether a type is a float of 16 to 64 bits: fewer have no arithmetic, more would be rounded."""
    return bool(xp.isdtype(dtype, "real floating")) and 2 <= dtype.itemsize <= 8


def _of_one_type(xp: Any, arrays: dict[str, Array], listed: list[str]) -> dict[str, Array]:
    """Arrays converted to the widest float type among those that are no lists."""
    floats = []
    for name, array in arrays.items():
        if _is_float(xp, array.dtype):
            if name not in listed:
                floats.append(array.dtype)
        elif not xp.isdtype(array.dtype, "integral"):
            raise InputError(
                f"{name} holds {array.dtype}; expected real numbers, floats of 16 to 64 bits or integers "
                "(convert it first)"
            )
    dtype = widest_float(xp, *floats) if floats else xp.asarray(0.0).dtype
    return {name: xp.astype(array, dtype, copy=False) for name, array in arrays.items()}
