"""Attention for language that you can see through.

>>> import numpy as np
>>> import regard
>>> query, key, value = np.random.default_rng(0).standard_normal((3, 5, 8))
>>> output, weights = regard.attend(query, key, value, mask=regard.causal())
>>> output.shape, weights.shape
((5, 8), (5, 5))

Nothing heavy is imported here: each name is loaded from its room when it is first used. Type checkers and
editors see the imports below, so the face is fully typed all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regard.version import __version__

if TYPE_CHECKING:
    from regard import (
        api,
        data,
        decoding,
        distributed,
        errors,
        evaluation,
        integrations,
        keras,
        layers,
        models,
        serving,
        sklearn,
        text,
        training,
        viewing,
    )
    from regard.api import compare, export, fit, heads, load, look_at_image, look_at_sound, train
    from regard.attention import (
        AttentionMap,
        attend,
        causal,
        documents,
        masks,
        normalizers,
        padding,
        positions,
        rollout,
        scores,
        statistics,
        window,
        worked,
    )
    from regard.integrations import check, steer, watch, watch_jax
else:
    from importlib import import_module

    _NAMES = {
        "AttentionMap": "regard.attention",
        "attend": "regard.attention",
        "causal": "regard.attention",
        "check": "regard.integrations",
        "compare": "regard.api",
        "documents": "regard.attention",
        "export": "regard.api",
        "fit": "regard.api",
        "heads": "regard.api",
        "load": "regard.api",
        "look_at_image": "regard.api",
        "look_at_sound": "regard.api",
        "padding": "regard.attention",
        "rollout": "regard.attention",
        "steer": "regard.integrations",
        "train": "regard.api",
        "watch": "regard.integrations",
        "watch_jax": "regard.integrations",
        "window": "regard.attention",
        "worked": "regard.attention",
    }
    _MODULES = {
        **{
            name: f"regard.attention.{name}"
            for name in ("masks", "normalizers", "positions", "scores", "statistics")
        },
        **{
            name: f"regard.{name}"
            for name in (
                "api", "data", "decoding", "distributed", "errors", "evaluation", "integrations", "keras",
                "layers", "models", "serving", "sklearn", "text", "training", "viewing",
            )
        },
    }  # fmt: skip

    def __getattr__(name):
        if name in _NAMES:
            return getattr(import_module(_NAMES[name]), name)
        if name in _MODULES:
            return import_module(_MODULES[name])
        raise AttributeError(f"module 'regard' has no attribute {name!r}")

    def __dir__():
        return __all__


__all__ = [
    "AttentionMap",
    "__version__",
    "api",
    "attend",
    "causal",
    "check",
    "compare",
    "data",
    "decoding",
    "distributed",
    "documents",
    "errors",
    "evaluation",
    "export",
    "fit",
    "heads",
    "integrations",
    "keras",
    "layers",
    "load",
    "look_at_image",
    "look_at_sound",
    "masks",
    "models",
    "normalizers",
    "padding",
    "positions",
    "rollout",
    "scores",
    "serving",
    "sklearn",
    "statistics",
    "steer",
    "text",
    "train",
    "training",
    "viewing",
    "watch",
    "watch_jax",
    "window",
    "worked",
]
