"""Models of other libraries, each library imported only when it is used.

>>> import regard
>>> regard.integrations.Keep(topk=32).topk
32
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.integrations.captured import AttentionCall, Keep
    from regard.integrations.checking.check import check
    from regard.integrations.jax import watch_jax
    from regard.integrations.layer_attention import LayerAttention
    from regard.integrations.seen_pass import SeenPass
    from regard.integrations.steering import Steered, steer
    from regard.integrations.tokenizing import tokens
    from regard.integrations.trainer import AttentionCallback
    from regard.integrations.watched import Watched
    from regard.integrations.watching import watch
else:
    from importlib import import_module

    _HOMES = {
        "AttentionCallback": "regard.integrations.trainer",
        "AttentionCall": "regard.integrations.captured",
        "Keep": "regard.integrations.captured",
        "LayerAttention": "regard.integrations.layer_attention",
        "SeenPass": "regard.integrations.seen_pass",
        "Steered": "regard.integrations.steering",
        "Watched": "regard.integrations.watched",
        "check": "regard.integrations.checking.check",
        "steer": "regard.integrations.steering",
        "tokens": "regard.integrations.tokenizing",
        "watch": "regard.integrations.watching",
        "watch_jax": "regard.integrations.jax",
    }

    def __getattr__(name):
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'regard.integrations' has no attribute {name!r}")

    def __dir__():
        return __all__


__all__ = [
    "AttentionCall",
    "AttentionCallback",
    "Keep",
    "LayerAttention",
    "SeenPass",
    "Steered",
    "Watched",
    "check",
    "steer",
    "tokens",
    "watch",
    "watch_jax",
]
