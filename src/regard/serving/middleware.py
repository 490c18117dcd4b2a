"""ASGI middleware: checks every request, ends those whose client has gone, sets the security headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from regard.serving.errors import RequestError, too_many_bytes, too_slow
from regard.serving.limits import Limits
from regard.serving.origin import check_host, check_origin

__all__ = ["SECURITY_HEADERS", "App", "Message", "Receive", "RequestGuard", "Send"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SECURITY_HEADERS = {
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


class RequestGuard:
    """ASGI middleware that checks hosts and origins, bounds bodies in size and time, and sets headers.

    A request whose client hangs up is cancelled.

    Args:
        app: the wrapped application.
        limits: of bodies.
        loopback: true to accept only names of this machine.
        respond: makes the response of an error.
    """

    def __init__(
        self, app: App, *, limits: Limits, loopback: bool, respond: Callable[[RequestError], App]
    ) -> None:
        self.app: App = app
        self.limits: Limits = limits
        self.loopback: bool = loopback
        self.respond: Callable[[RequestError], App] = respond

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Check and forward one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        headers = dict(scope["headers"])
        try:
            if self.loopback:
                check_host(headers)
            check_origin(scope["method"], headers)
            content = await self._read(headers, receive)
        except RequestError as error:
            await self.respond(error)(scope, receive, answer.send)
            return
        if content is not None:
            await self._forward(scope, content, receive, answer)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body, `None` if the client hung up; raises before too much is held in memory."""
        declared = headers.get(b"content-length", b"0")[:20]
        size, content, more = int(declared) if declared.isdigit() else 0, bytearray(), True
        try:
            async with asyncio.timeout(self.limits.read_timeout):
                while size <= self.limits.body and more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    content += message.get("body", b"")
                    more, size = message.get("more_body", False), max(size, len(content))
        except TimeoutError:
            raise too_slow(self.limits.read_timeout, "the body of the request") from None
        if size > self.limits.body:
            raise too_many_bytes(self.limits.body)
        return bytes(content)

    async def _forward(
        self, scope: Message, content: bytes, receive: Receive, answer: _Answer
    ) -> None:
        """Run the application until it has answered or the client has gone."""
        gone = asyncio.ensure_future(receive())  # after the body comes nothing but the disconnect
        running = asyncio.ensure_future(self.app(scope, _replayed(content, gone), answer.send))
        try:
            await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answer.complete or running.done():
                await running
            else:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
        finally:
            running.cancel()
            gone.cancel()


class _Answer:
    """The sending side of a request: adds headers, and knows whether the answer is complete."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            own = {name.lower() for name, _ in headers}
            more = [(name, value) for name, value in SECURITY_HEADERS.items() if name not in own]
            message["headers"] = headers + more
        elif not message.get("more_body", False):
            self.complete = True
        await self._send(message)


def _replayed(content: bytes, gone: asyncio.Future[Message]) -> Receive:
    """A `receive` that first returns a body already read, then the disconnect once it comes."""
    message: Message | None = {"type": "http.request", "body": content, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        given, message = message, None
        return given if given is not None else await asyncio.shield(gone)

    return replay
