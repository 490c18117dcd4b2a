"""Callbacks of a training run, for progress bars and logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Callback", "Callbacks", "Progress"]


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


class Callbacks(Callback):
    """Several callbacks as one, each called in turn.

    Args:
        callbacks: any number.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks: tuple[Callback, ...] = tuple(callbacks)

    def on_message(self, message: str) -> None:
        """Pass a message on."""
        for callback in self._callbacks:
            callback.on_message(message)

    def on_step(self, progress: Progress) -> None:
        """Pass the position of the run on."""
        for callback in self._callbacks:
            callback.on_step(progress)

    def on_validation_start(self) -> None:
        """Pass the start of a validation on."""
        for callback in self._callbacks:
            callback.on_validation_start()

    def on_validation_end(self, metrics: dict[str, float], *, best: bool) -> None:
        """Pass the metrics of a validation on."""
        for callback in self._callbacks:
            callback.on_validation_end(metrics, best=best)
