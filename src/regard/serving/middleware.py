"""What every request passes on its way in, and every response on its way out."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from regard.serving.errors import Refusal

__all__ = ["Gate", "is_loopback"]

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
    """Whether only this machine can be meant: `localhost`, or an address such as 127.0.0.1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """An ASGI layer: bodies are bounded, hosts are checked, headers are set.

    The check of the host keeps a page from elsewhere from reaching a server on loopback under a name
    that it makes point there (DNS rebinding).

    Args:
        app: behind the gate.
        body: bytes of a request at most.
        loopback: whether only names of this machine are answered to.
        refuse: makes a response of a refusal.
    """

    def __init__(
        self, app: App, *, body: int, loopback: bool, refuse: Callable[[Refusal], App]
    ) -> None:
        self.app, self.body, self.loopback, self.refuse = app, body, loopback, refuse

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        leave = _with_headers(send)
        headers = dict(scope["headers"])
        try:
            self._check(headers)
            content = await self._read(headers, receive)
        except Refusal as refusal:
            await self.refuse(refusal)(scope, receive, leave)
            return
        await self.app(scope, _again(content, receive), leave)

    def _check(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        bare = name[1:-1] if name.startswith("[") else name  # as addresses of IPv6 come
        if self.loopback and not is_loopback(bare):
            raise Refusal(
                421, f"this server answers to localhost only, not to {host!r}; start it with --host"
            )

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, which is small, or a refusal before it is held."""
        told = headers.get(b"content-length", b"0")
        size, content, more = int(told) if told.isdigit() else 0, b"", True
        while size <= self.body and more:
            message = await receive()
            content += message.get("body", b"")
            more, size = message.get("more_body", False), max(size, len(content))
        if size > self.body:
            raise Refusal(
                413, f"the request has more than {self.body:,} bytes; send the text in parts"
            )
        return content


def _again(content: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read; after it, whatever comes (that the client has gone)."""
    message: Message | None = {"type": "http.request", "body": content, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        given, message = message, None
        return given if given is not None else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def leave(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            own = {name.lower() for name, _ in headers}
            message["headers"] = headers + [(n, v) for n, v in _HEADERS.items() if n not in own]
        await send(message)

    return leave
