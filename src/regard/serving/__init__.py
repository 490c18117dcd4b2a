"""Models over HTTP: a JSON API and a web page that shows what they looked at.

Two functions make it: `create_app` an ASGI application from loaded models, `serve` a server of it that
stops gracefully. Both need the extra `regard[serve]`. `WorkerPool` answers by processes in place of threads.

Each name is loaded when it is first used: worker processes need none of the web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.serving.app import create_app
    from regard.serving.limits import Limits
    from regard.serving.pool import WorkerPool
    from regard.serving.registry import ModelRegistry
    from regard.serving.server import serve
else:
    from importlib import import_module

    _NAMES = {
        "Limits": "regard.serving.limits",
        "ModelRegistry": "regard.serving.registry",
        "WorkerPool": "regard.serving.pool",
        "create_app": "regard.serving.app",
        "serve": "regard.serving.server",
    }

    def __getattr__(name: str) -> object:
        if name not in _NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(_NAMES[name]), name)
        return value

    def __dir__() -> list[str]:  # the site lists what it documents
        return [*globals(), *_NAMES]


__all__ = ["Limits", "ModelRegistry", "WorkerPool", "create_app", "serve"]
