"""Keras and a backend that it can start with, looked for before any other module here imports Keras."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

from regard.errors import MissingExtraError, RegardError

__all__ = ["require_keras"]


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


def require_keras() -> None:
    """Import Keras with a backend that is installed.

    Raises:
        MissingExtraError: Keras is not installed.
        RegardError: it is too old, or the library of its backend is not installed.
    """
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


require_keras()
