"""Connections of a server: how many, how long they may wait for their clients, what each is answered.

uvicorn parses HTTP/1.1 (by h11) and calls the application; it has no deadline for a request that comes in
part or an answer that nobody reads, and no bound on connections. `Connection` adds both.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from regard.serving.errors import RequestError, crowded, malformed, stopping, too_slow
from regard.serving.limits import Limits
from regard.serving.middleware import SECURITY_HEADERS, Message, Receive, Send

__all__ = ["ALWAYS_ANSWERED", "Connection", "Connections"]

ALWAYS_ANSWERED = ("/health", "/metrics")
"""Paths that are answered when every connection is in use."""

_SWEEP = 0.25  # seconds between looks at all connections
_SPARE = 32  # connections beyond the bound on which ALWAYS_ANSWERED is answered
_FLUSH = 0.25  # seconds for the last bytes of an answer when the server stops

Phase = Literal["head", "idle", "body", "answer", "closing"]


class Connections:
    """All connections of a server.

    Args:
        limits: of their number and times.
        on_reject: called with the status of every answer that the application does not give.

    Attributes:
        open: connections, from accepting to the end.
    """

    def __init__(
        self, limits: Limits, on_reject: Callable[[int], None] = lambda status: None
    ) -> None:
        self.limits: Limits = limits
        self.on_reject: Callable[[int], None] = on_reject
        self.open: set[Connection] = set()
        self._candidates: list[Connection] = []

    async def watch(self) -> None:
        """End the connections whose clients take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP, self.limits.read_timeout))
            for connection in list(self.open):
                connection.check_time(loop.time(), self.limits.read_timeout)

    def add(self, new: Connection) -> None:
        """Take a connection; beyond the bound, in the place of one that waits for its client."""
        self.open.add(new)
        if len(self.open) <= self.limits.max_connections:
            return
        victim = self._next_candidate(new)
        if victim is not None:
            # On a connection that was used before, an answer would be taken for that of the next request.
            fresh = victim.cycle is None
            victim.end(crowded(self.limits.max_connections), always=fresh)
        elif len(self.open) > self.limits.max_connections + _SPARE:
            new.end(crowded(self.limits.max_connections), always=True)
        else:
            new.answers_only(crowded(self.limits.max_connections))

    def _next_candidate(self, new: Connection) -> Connection | None:
        """The connection that makes room: of the client with most waiting ones, the longest waiting.

        Candidates are collected at once and used one after another, so that a flood of connections costs
        each of them little.
        """
        for collected in (False, True):
            if collected:
                self._candidates = self._collect(new)
            while self._candidates:
                candidate = self._candidates.pop()
                if candidate in self.open and candidate.waits:
                    return candidate
        return None

    def _collect(self, new: Connection) -> list[Connection]:
        waiting = [each for each in self.open if each.waits and each is not new]
        if not waiting:
            return []
        most, _ = Counter(each.client_host for each in waiting).most_common(1)[0]
        of_one = [each for each in waiting if each.client_host == most]
        return sorted(of_one, key=lambda each: each.since, reverse=True)


class Connection(H11Protocol):
    """A connection of a client, with deadlines.

    Args:
        table: all connections of the server.
        options: those of uvicorn's protocol.
    """

    def __init__(self, *, table: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.table: Connections = table
        self.since: float = self.loop.time()
        self._phase: Phase = "head"

    @property
    def client_host(self) -> str:
        """Address of the other end."""
        return self.client[0] if self.client else ""

    @property
    def phase(self) -> Phase:
        """What the connection is waiting for."""
        if self.transport.is_closing():
            return "closing"
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        if self.cycle is not None and not self.cycle.response_complete:
            return "answer"
        return "idle" if self.timeout_keep_alive_task is not None else "head"

    @property
    def waits(self) -> bool:
        """Whether the client is in no hurry: it has yet to send the whole of a request."""
        return self.phase in ("head", "idle", "body")

    # What asyncio and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place in the table."""
        super().connection_made(transport)
        self.table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.table.open.discard(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; called while h11's error is handled."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        self.end(malformed(status, str(error or msg)), always=True)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a request to upgrade is answered as one that does not ask for it (RFC 9110)."""

    def shutdown(self) -> None:
        """End at once if no request has come whole, after its answer otherwise; in any case soon."""
        if self.waits:
            self.end(stopping())
        elif self.cycle is not None:
            self.cycle.keep_alive = False
        self.loop.call_later(self.table.limits.grace + _FLUSH, self._abort)

    # What the table calls

    def check_time(self, now: float, limit: float) -> None:
        """End the connection if it has been in one phase for too long.

        Dripping bytes do not help a client: the phase lasts until all is there. An answer counts only while
        the client does not read it; how long the models take is a matter of the queue.
        """
        phase = self.phase
        if phase != self._phase or (phase == "answer" and not self.flow.write_paused):
            self._phase, self.since = phase, now
        elif now - self.since > limit:
            if phase == "head":
                self.end(too_slow(limit, "the head of the request"))
            elif phase in ("answer", "closing"):
                self._abort()
            elif phase == "body" and self.cycle.response_started:  # else the application answers
                self.transport.close()

    def end(self, error: RequestError, *, always: bool = False) -> None:
        """Close the connection; a client that has begun a request, and has no answer, is told why."""
        informs = always or bool(self.conn.trailing_data[0])
        if self.cycle is not None and not self.cycle.response_complete:
            informs = not self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if informs and not self.transport.is_closing():
            self.transport.write(_raw(error))
            self.table.on_reject(error.status)
        self.transport.close()
        if self.transport.get_write_buffer_size():  # nobody reads: it would stay open
            self._abort()

    def answers_only(self, error: RequestError) -> None:
        """Answer every request with an error, but for `ALWAYS_ANSWERED`."""
        answer = self.app

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] not in ALWAYS_ANSWERED:
                await _send(error, send)
                self.table.on_reject(error.status)
            else:
                await answer(scope, receive, send)

        self.app = app

    def _abort(self) -> None:
        if self in self.table.open:
            self.transport.abort()


def _content(error: RequestError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    body = json.dumps({"error": str(error)}).encode()
    own = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    encoded = [(name.encode(), value.encode()) for name, value in own.items()]
    return encoded + list(SECURITY_HEADERS.items()), body


def _raw(error: RequestError) -> bytes:
    """The whole answer as bytes, for where there is no request to answer."""
    headers, body = _content(error)
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


async def _send(error: RequestError, send: Send) -> None:
    headers, body = _content(error)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
