"""Saying no, with what to do instead."""

from __future__ import annotations

from regard.errors import RegardError

__all__ = ["Refusal", "busy", "late", "stopping", "too_long", "too_many_tokens"]


class Refusal(RegardError):  # noqa: N818 - a polite no is no error of the server
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: what came, what was expected, what to try.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def too_long(what: str, came: int, limit: int) -> Refusal:
    """413, more than this server takes."""
    return Refusal(
        413,
        f"{what} has {came:,} characters, at most {limit:,} are taken; "
        "send it in parts, or start the server with a larger --max-characters",
    )


def too_many_tokens(what: str, came: int, limit: int) -> Refusal:
    """413, more than this model was made for."""
    return Refusal(
        413,
        f"{what} has {came:,} tokens, at most {limit:,} are taken; send it in parts, since the model "
        "was trained on no longer ones",
    )


def busy(waiting: int) -> Refusal:
    """429."""
    return Refusal(
        429, f"{waiting} requests are waiting already; try again in a second", retry_after=1
    )


def late(seconds: float) -> Refusal:
    """503, the model was too slow."""
    return Refusal(
        503,
        f"no answer within {seconds:g} s; try again later, with a shorter text or a narrower beam",
        retry_after=5,
    )


def stopping() -> Refusal:
    """503, the server goes down."""
    return Refusal(503, "the server is stopping; try again when it is back", retry_after=10)
