"""Other people's worlds, each imported only on request."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Keep": "regard.integrations.captured",
    "Layer": "regard.integrations.captured",
    "Watched": "regard.integrations.watched",
    "tokens": "regard.integrations.watched",
    "watch": "regard.integrations.transformers",
}

__all__ = ["Keep", "Layer", "Watched", "tokens", "watch"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'regard.integrations' has no attribute {name!r}")
