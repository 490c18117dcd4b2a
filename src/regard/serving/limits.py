"""How much a server takes on."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from regard.settings import Settings

__all__ = ["Limits"]


class Limits(Settings):
    """What one client, and all of them together, may ask for.

    Args:
        characters: of a text; a longer one is answered with 413.
        waiting: requests in the queue; one more is answered with 429.
        together: requests that the model answers at once.
        patience: seconds until a request that was not answered gets 503.
    """

    title: ClassVar[str] = "server"

    characters: Annotated[int, Field(ge=1)] = 5000
    waiting: Annotated[int, Field(ge=1)] = 100
    together: Annotated[int, Field(ge=1)] = 16
    patience: Annotated[float, Field(gt=0)] = 30.0

    @property
    def body(self) -> int:
        """Bytes of a request: twelve a character, as JSON may escape it, for text and beginning."""
        return 2 * 12 * self.characters + 16_384
