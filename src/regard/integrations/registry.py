"""Models that are being watched, each by one block at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from torch import nn

from regard.errors import InputError
from regard.integrations.watched import Watched

__all__ = ["module_of", "registered", "watched_by", "watchers"]

_lock = threading.Lock()
_watchers: dict[int, Watched] = {}  # by the id of each module of a watched model


@contextlib.contextmanager
def registered(model: nn.Module, seen: Watched) -> Iterator[None]:
    """Context in which all modules of a model count as watched.

    Raises:
        InputError: one of them is being watched already.
    """
    ids = [id(part) for part in model.modules()]
    with _lock:
        if any(part in _watchers for part in ids):
            raise InputError("this model is being watched already; leave that block first")
        _watchers.update(dict.fromkeys(ids, seen))
    try:
        yield
    finally:
        with _lock:
            for part in ids:
                del _watchers[part]


def module_of(model: Any) -> nn.Module:
    """The module to watch: the model, or the one inside a pipeline.

    Raises:
        InputError: there is none.
    """
    module = model if isinstance(model, nn.Module) else getattr(model, "model", None)
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{type(model).__name__} is no module of torch and holds none as its .model; expected a "
            "module, or a pipeline of transformers"
        )
    return module


def watched_by(module: Any) -> Watched | None:
    """What a module is watched by."""
    return _watchers.get(id(module))


def watchers() -> list[Watched]:
    """What any models are watched by."""
    with _lock:
        return list({id(seen): seen for seen in _watchers.values()}.values())
