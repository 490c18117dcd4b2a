"""ASGI middleware: checks every request and sets the security headers of every response."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from regard.serving.errors import RequestError

__all__ = ["RequestGuard", "is_loopback"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cache-control": b"no-store",
}


def is_loopback(host: str) -> bool:
    """True for names of this machine only: `localhost`, or an address such as 127.0.0.1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RequestGuard:
    """ASGI middleware that limits bodies, checks hosts and sets headers.

    The check of the host stops DNS rebinding: a foreign page cannot reach a server on loopback under a
    name that resolves to it.

    Args:
        app: the wrapped application.
        body: most bytes of a request.
        loopback: true to accept only names of this machine.
        respond: makes the response of an error.
    """

    def __init__(
        self, app: App, *, body: int, loopback: bool, respond: Callable[[RequestError], App]
    ) -> None:
        self.app: App = app
        self.body: int = body
        self.loopback: bool = loopback
        self.respond: Callable[[RequestError], App] = respond

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Check and forward one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send_with_headers = _with_headers(send)
        headers = dict(scope["headers"])
        try:
            self._check(headers)
            content = await self._read(headers, receive)
        except RequestError as error:
            await self.respond(error)(scope, receive, send_with_headers)
            return
        await self.app(scope, _replayed(content, receive), send_with_headers)

    def _check(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        bare = name[1:-1] if name.startswith("[") else name  # IPv6 addresses come in brackets
        if self.loopback and not is_loopback(bare):
            raise RequestError(
                421, f"this server answers to localhost only, not to {host!r}; start it with --host"
            )

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body; raises before an oversized one is held in memory."""
        declared = headers.get(b"content-length", b"0")
        size, content, more = int(declared) if declared.isdigit() else 0, b"", True
        while size <= self.body and more:
            message = await receive()
            content += message.get("body", b"")
            more, size = message.get("more_body", False), max(size, len(content))
        if size > self.body:
            raise RequestError(
                413, f"the request has more than {self.body:,} bytes; send the text in parts"
            )
        return content


def _replayed(content: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns a body already read, then later messages (disconnect)."""
    message: Message | None = {"type": "http.request", "body": content, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        given, message = message, None
        return given if given is not None else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            own = {name.lower() for name, _ in headers}
            message["headers"] = headers + [(n, v) for n, v in _HEADERS.items() if n not in own]
        await send(message)

    return send_with_headers
