"""Models over HTTP: a JSON API and a web page that shows what they looked at.

Two functions make it: `create_app` an ASGI application from loaded models, `serve` a server of it that
stops gracefully. Both need the extra `regard[serve]`.
"""

from regard.serving.app import create_app
from regard.serving.limits import Limits
from regard.serving.registry import ModelRegistry
from regard.serving.server import serve

__all__ = ["Limits", "ModelRegistry", "create_app", "serve"]
