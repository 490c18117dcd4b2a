"""Callbacks of a training run, for progress bars and logs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Callback", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Position of a run.

    Args:
        step: updates made.
        total: updates planned.
        epoch: number of the current epoch, counted from 1.
        loss: mean training loss of the updates in the latest record, in nats per target; `None`
            before the first record.
        targets_per_second: mean over the time this process has trained.
    """

    step: int
    total: int
    epoch: int
    loss: float | None
    targets_per_second: float


class Callback:
    """Base class of callbacks; its methods do nothing."""

    def on_message(self, message: str) -> None:
        """Called with a message for the user: lines left out, examples held out."""

    def on_step(self, progress: Progress) -> None:
        """Called after each update."""

    def on_validation_start(self) -> None:
        """Called before each validation."""

    def on_validation_end(self, metrics: dict[str, float], *, best: bool) -> None:
        """Called after each validation with its metrics and whether they are the best so far."""
