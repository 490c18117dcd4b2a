"""What a run tells whoever looks on: a progress bar, a log, nobody."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress", "Watcher"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Args:
        step: updates made.
        total: updates planned.
        epoch: the one under way, counted from 1.
        loss: mean training loss of the latest stretch, in nats per target; `None` before the first.
        targets_per_second: over the time this process has trained.
    """

    step: int
    total: int
    epoch: int
    loss: float | None
    targets_per_second: float


class Watcher:
    """Hears of each event; this one does nothing with them."""

    def told(self, message: str) -> None:
        """Called with what a person should know first: lines left out, parts split off."""

    def stepped(self, progress: Progress) -> None:
        """Called after each update."""

    def validating(self) -> None:
        """Called before each validation."""

    def validated(self, numbers: dict[str, float], *, best: bool) -> None:
        """Called with each validation's numbers and whether they are the best so far."""
