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
        loss: mean training loss since the latest validation, in nats per target, without label
            smoothing, as the validation loss; on a GPU up to `log_every` updates behind. `None` before
            the first.
        targets_per_second: mean over the time spent in training.
        done: share of the run that is done, 0 to 1: of its updates or, if that is more, of its minutes.
    """

    step: int
    total: int
    epoch: int
    loss: float | None
    targets_per_second: float
    done: float


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
