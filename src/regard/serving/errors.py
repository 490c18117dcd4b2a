"""Errors of a request: HTTP status, and what to try."""

from __future__ import annotations

from regard.errors import RegardError

__all__ = ["RequestError", "queue_full", "stopping", "timed_out", "too_long", "too_many_tokens"]


class RequestError(RegardError):
    """A request that cannot be answered.

    Args:
        status: of HTTP.
        message: what came, what was expected, what to try.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status: int = status
        self.retry_after: int | None = retry_after


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


def timed_out(seconds: float) -> RequestError:
    """503: no answer in time."""
    return RequestError(
        503,
        f"no answer within {seconds:g} s; try again later, with a shorter text or a narrower beam",
        retry_after=5,
    )


def stopping() -> RequestError:
    """503: the server is stopping."""
    return RequestError(503, "the server is stopping; try again when it is back", retry_after=10)
