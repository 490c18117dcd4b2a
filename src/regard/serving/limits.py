"""Limits of a server."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from regard.settings import Settings

__all__ = ["Limits"]


class Limits(Settings):
    """Limits of requests, for one client and for all together.

    Args:
        max_characters: of a text; a longer one is answered with 413.
        max_queue: requests in the queue; one more is answered with 429.
        max_batch: requests that one call of the model answers.
        max_connections: open at a time. One more takes the place of the connection that has waited longest for
            its client; if none waits, it is answered with 503, but for `/health`.
        timeout: seconds until an unanswered request gets 503.
        read_timeout: seconds that a client may take to send the head of a request, to send its body, and to
            read its answer; a request that came in part gets 408.
        grace: seconds for requests in progress when the server is told to stop; then they get 503.
    """

    title: ClassVar[str] = "server"

    max_characters: Annotated[int, Field(ge=1)] = 5000
    max_queue: Annotated[int, Field(ge=1)] = 100
    max_batch: Annotated[int, Field(ge=1)] = 16
    max_connections: Annotated[int, Field(ge=1)] = 512
    timeout: Annotated[float, Field(gt=0)] = 30.0
    read_timeout: Annotated[float, Field(gt=0)] = 10.0
    grace: Annotated[float, Field(ge=0)] = 0.8

    @property
    def body(self) -> int:
        """Most bytes of a request: JSON escapes take twelve a character, for text and beginning."""
        return 2 * 12 * self.max_characters + 16_384
