"""Keras itself: which backend it computes with, and how a missing one is told.

Every module of this package imports Keras from here, so that it is looked for in one place.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from regard.attention.arrays import to_numpy
from regard.errors import MissingExtraError, RegardError

__all__ = ["eager", "keras", "mask_of", "name", "numpy_of", "set_mask"]


def _configured_backend() -> str:
    """The backend that Keras will take: of the environment, its file of settings, or its default."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    configured = settings.get("backend") if isinstance(settings, dict) else None
    return os.environ.get("KERAS_BACKEND") or configured or "tensorflow"


def _prefer_installed_backend() -> None:
    """Choose torch, which `regard` brings along, where Keras would look for an absent TensorFlow.

    Keras's default is TensorFlow, so that `import keras` fails where there is none. Whoever has named a
    backend in `KERAS_BACKEND` gets that one, or Keras's error.
    """
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND"):
        return
    if _configured_backend() == "tensorflow" and importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "torch"


def _import_keras() -> Any:
    if importlib.util.find_spec("keras") is None:
        raise MissingExtraError("regard.keras", "keras")
    _prefer_installed_backend()
    try:
        import keras
    except ModuleNotFoundError as error:
        raise RegardError(
            f"Keras cannot start with its backend {_configured_backend()!r}: {error}; install that library, "
            "or choose another before the first import: KERAS_BACKEND=torch (or jax, tensorflow) in the "
            "environment"
        ) from error
    if int(keras.__version__.split(".")[0]) < 3:
        raise RegardError(f"Keras {keras.__version__} is too old; try: pip install 'regard[keras]'")
    return keras


keras: Any = _import_keras()
"""The package `keras`."""


def mask_of(tensor: Any) -> Any:
    """The mask that Keras passes on with a tensor; `None` if it has none."""
    from keras.src.backend import (
        get_keras_mask,
    )  # JAX's arrays take no attribute: Keras keeps a table

    return get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Let Keras pass a mask on with a tensor, or none."""
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)


def name() -> str:
    """Name of the backend: `"torch"`, `"jax"` or `"tensorflow"`."""
    return str(keras.config.backend())


def eager(tensor: Any) -> bool:
    """Whether a tensor holds numbers now: it is neither symbolic nor traced by a compiler."""
    if isinstance(tensor, keras.KerasTensor):
        return False
    if name() == "tensorflow":
        return hasattr(tensor, "numpy")  # tensors of a graph have none
    if name() == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    import torch

    return not torch.compiler.is_compiling() and tensor.device.type != "meta"


def numpy_of(tensor: Any) -> Any:
    """A tensor of any backend as a NumPy array; bfloat16, which NumPy does not have, as float32."""
    if str(keras.backend.standardize_dtype(tensor.dtype)) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return to_numpy(tensor) if name() == "torch" else keras.ops.convert_to_numpy(tensor)
