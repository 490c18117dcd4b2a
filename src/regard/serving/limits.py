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
        timeout: seconds until an unanswered request gets 503.
    """

    title: ClassVar[str] = "server"

    max_characters: Annotated[int, Field(ge=1)] = 5000
    max_queue: Annotated[int, Field(ge=1)] = 100
    max_batch: Annotated[int, Field(ge=1)] = 16
    timeout: Annotated[float, Field(gt=0)] = 30.0

    @property
    def body(self) -> int:
        """Most bytes of a request: JSON escapes take twelve a character, for text and beginning."""
        return 2 * 12 * self.max_characters + 16_384
