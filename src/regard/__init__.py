"""Attention for language that you can see through.

>>> import regard
>>> output, weights = regard.attend(query, key, value, mask=regard.causal())

Nothing heavy is imported here: each name below is loaded from its room when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "attend": "regard.attention",
    "AttentionMap": "regard.attention",
    "rollout": "regard.attention",
    "worked": "regard.attention",
    "causal": "regard.attention",
    "window": "regard.attention",
    "padding": "regard.attention",
    "documents": "regard.attention",
    "load": "regard.api",
    "train": "regard.api",
    "watch": "regard.integrations",
}
_SUBMODULES = ("layers", "masks", "normalizers", "positions", "scores")

__all__ = [
    "AttentionMap",
    "__version__",
    "attend",
    "causal",
    "documents",
    "layers",
    "load",
    "masks",
    "normalizers",
    "padding",
    "positions",
    "rollout",
    "scores",
    "train",
    "watch",
    "window",
    "worked",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(importlib.import_module(_ROOMS[name]), name)
    if name in _SUBMODULES:
        room = "regard.layers" if name == "layers" else f"regard.attention.{name}"
        return importlib.import_module(room)
    raise AttributeError(f"module 'regard' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
