"""Attention in plain operations of its library, for graphs that run where regard is not installed.

While a model is exported, `attend` computes the whole matrix at once: no kernel of ours, which the other
runtime would not have, no tiles, whose number depends on the length, and no question about values, which a
graph has not. Layers and models ask `is_exporting`, too, before they look at values to save work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["exporting", "is_exporting"]

_EXPORTING = ContextVar("exporting", default=False)


@contextmanager
def exporting() -> Iterator[None]:
    """Context in which attention is computed in plain operations."""
    token = _EXPORTING.set(True)
    try:
        yield
    finally:
        _EXPORTING.reset(token)


def is_exporting() -> bool:
    """Whether attention is computed in plain operations now."""
    # torch.compile traces no context variable, and compiles nothing that is exported.
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_dynamo_compiling():
        return False
    return _EXPORTING.get()
