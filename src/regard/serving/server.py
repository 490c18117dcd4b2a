"""The server: bind, serve, stop gracefully."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import PathLike

import uvicorn

from regard.errors import InputError
from regard.serving.app import create_app
from regard.serving.limits import Limits
from regard.serving.middleware import is_loopback
from regard.serving.registry import ModelRegistry

__all__ = ["serve"]

_GRACE = 20  # seconds that running requests get when the server is told to stop


def serve(
    folders: Sequence[str | PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve model folders until SIGINT or SIGTERM, then finish what is being answered.

    Args:
        folders: as `regard train` wrote them.
        host: an address of this machine; anything but loopback can be reached from elsewhere.
        port: 0 takes a free one.
        limits: of text, queue, batch and time.
        ready: called with the address of the page once connections are accepted.

    Raises:
        InputError: the port cannot be bound.
    """
    models = ModelRegistry.of(folders)
    bound = _bind(host, port)
    app = create_app(models, limits=limits, loopback=is_loopback(host))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # texts belong to whoever typed them
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE,
    )
    name = f"[{host}]" if ":" in host else host
    ready(f"http://{name}:{bound.getsockname()[1]}/")
    with bound, suppress(KeyboardInterrupt):  # uvicorn raises it again after stopping
        uvicorn.Server(config).run(sockets=[bound])


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that early clients wait for the server."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port} cannot be bound ({error}); try another --port, 0 takes a free one"
        ) from None
