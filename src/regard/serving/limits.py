"""How much a server takes on."""

from __future__ import annotations

from dataclasses import dataclass

from regard.errors import SettingsError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them together, may ask for.

    Args:
        characters: of a text; a longer one is answered with 413.
        waiting: requests in the queue; one more is answered with 429.
        together: requests that the model answers at once.
        patience: seconds until a request that was not answered gets 503.
    """

    characters: int = 5000
    waiting: int = 100
    together: int = 16
    patience: float = 30.0

    def __post_init__(self) -> None:
        for name in ("characters", "waiting", "together", "patience"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name}={getattr(self, name)}; expected more than 0")

    @property
    def body(self) -> int:
        """Bytes of a request: twelve a character, as JSON may escape it, for text and beginning."""
        return 2 * 12 * self.characters + 16_384
