"""Errors of a request: HTTP status, and what to try."""

from __future__ import annotations

from functools import partial
from typing import Any

from regard.errors import RegardError

__all__ = [
    "RequestError",
    "WorkerDiedError",
    "crowded",
    "foreign_host",
    "foreign_page",
    "malformed",
    "pushed_out",
    "queue_full",
    "stopping",
    "timed_out",
    "too_long",
    "too_many_bytes",
    "too_many_tokens",
    "too_slow",
    "worker_died",
]


class RequestError(RegardError):
    """A request that cannot be answered.

    Args:
        status: of HTTP.
        message: what came, what was expected, what to try.
        retry_after: seconds after which to try again.
        closes: whether the connection ends with this answer, since the request did not come whole.
    """

    def __init__(
        self, status: int, message: str, *, retry_after: int | None = None, closes: bool = False
    ) -> None:
        super().__init__(message)
        self.status: int = status
        self.retry_after: int | None = retry_after
        self.closes: bool = closes

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an error is made again from its message alone, in the process that waits for an answer.
        make = partial(RequestError, retry_after=self.retry_after, closes=self.closes)
        return make, (self.status, str(self))

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer that belong to this error."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return headers | ({"connection": "close"} if self.closes else {})


class WorkerDiedError(RequestError):
    """A worker process ended while it answered."""


def malformed(status: int, problem: str) -> RequestError:
    """400, 431 or 501: no request that HTTP knows."""
    text = {
        431: "the address and the headers of the request are too long; send the text in a POST",
        501: "the body is sent in a way that is not known here; send content-length, or chunks",
    }
    return RequestError(
        status,
        text.get(status, f"not a request of HTTP/1.1 ({problem[:200]}); see /docs"),
        closes=True,
    )


def foreign_host(host: str) -> RequestError:
    """421: the request is addressed to another server."""
    return RequestError(
        421, f"this server answers to localhost only, not to {host!r}; start it with --host"
    )


def foreign_page(named: str) -> RequestError:
    """403: a page of another origin sent the request."""
    return RequestError(
        403,
        f"pages of other origins may not send requests here ({named[:200]}); open this server's own page, "
        "or send the request from a program, which sends no such header",
    )


def too_slow(seconds: float, what: str) -> RequestError:
    """408: the request did not come whole in time."""
    return RequestError(
        408, f"{what} did not come whole within {seconds:g} s; send it again at once", closes=True
    )


def too_many_bytes(limit: int) -> RequestError:
    """413: the body is larger than any request needs."""
    return RequestError(413, f"the request has more than {limit:,} bytes; send the text in parts")


def too_long(what: str, came: int, limit: int) -> RequestError:
    """413: the text exceeds the limit of this server."""
    return RequestError(
        413,
        f"{what} has {came:,} characters, at most {limit:,} are taken; "
        "send it in parts, or start the server with a larger --max-characters",
    )


def too_many_tokens(what: str, came: int, limit: int) -> RequestError:
    """413: the text exceeds the longest sequence of this model."""
    return RequestError(
        413,
        f"{what} has {came:,} tokens, at most {limit:,} are taken; send it in parts, since the model "
        "was trained on no longer ones",
    )


def queue_full(waiting: int) -> RequestError:
    """429: the queue is full."""
    return RequestError(
        429, f"{waiting} requests are waiting already; try again in a second", retry_after=1
    )


def pushed_out(waiting: int) -> RequestError:
    """429: the queue is full, and clients that have fewer requests in it go first."""
    return RequestError(
        429,
        f"{waiting} requests of this address were waiting, and others' go first; send fewer at a time, and "
        "this one again in a second",
        retry_after=1,
    )


def timed_out(seconds: float) -> RequestError:
    """503: no answer in time."""
    return RequestError(
        503,
        f"no answer within {seconds:g} s; try again later, with a shorter text or a narrower beam",
        retry_after=5,
    )


def crowded(connections: int) -> RequestError:
    """503: there are too many connections."""
    return RequestError(
        503,
        f"{connections} connections are open already; close some, or try again in a second",
        retry_after=1,
        closes=True,
    )


def stopping() -> RequestError:
    """503: the server is stopping."""
    return RequestError(503, "the server is stopping; try again when it is back", retry_after=10)


def worker_died(how: str) -> WorkerDiedError:
    """503: the process that was answering ended, and so did the one that tried again."""
    return WorkerDiedError(
        503,
        f"the process that was answering this request {how}, as another one had before; they are started "
        "again: try again in a second, and with a shorter text if that happens again",
        retry_after=1,
    )
