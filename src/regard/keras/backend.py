"""Which backend Keras computes with, and what differs between backends."""

from __future__ import annotations

from typing import Any

import keras

from regard.attention.arrays import is_concrete, to_numpy

__all__ = ["eager", "mask_of", "name", "numpy_of", "ops", "set_mask"]

ops: Any = keras.ops
"""Keras's operations on tensors of any backend, whose types are only as good as what checkers guess."""


def mask_of(tensor: Any) -> Any:
    """The mask that Keras passes on with a tensor; `None` if it has none."""
    # Of an array of JAX, which takes no attribute, Keras keeps the mask in a table.
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Let Keras pass a mask on with a tensor, or none."""
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)


def name() -> str:
    """Name of the backend: `"torch"`, `"jax"` or `"tensorflow"`."""
    return str(keras.config.backend())


def eager(tensor: Any) -> bool:
    """Whether a tensor holds numbers now: no compiler is tracing it."""
    if name() == "tensorflow":
        return hasattr(tensor, "numpy")  # tensors of a graph have none
    return bool(is_concrete(tensor))


def numpy_of(tensor: Any) -> Any:
    """A tensor of any backend as a NumPy array; bfloat16, which NumPy does not have, as float32."""
    if str(keras.backend.standardize_dtype(tensor.dtype)) == "bfloat16":
        tensor = ops.cast(tensor, "float32")
    return to_numpy(tensor) if name() == "torch" else ops.convert_to_numpy(tensor)
