"""Deferred handling of Ctrl-C and of signals that end a run, so that it stops between two updates."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["DeferredSignals", "Interrupted", "ended_by_signals"]


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal, after everything was saved.

    Args:
        folder: where `resume` continues; `None` if the run writes nothing.
        signal: number of the signal.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, signal: int) -> None:
        self.folder: str | os.PathLike[str] | None = folder
        self.signal: int = signal
        super().__init__(f"interrupted; go on with resume in {folder}" if folder else "interrupted")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.signal)


_POLITE = (signal.SIGHUP, signal.SIGUSR1)
"""Signals that a closed terminal and Slurm, before a time limit, send."""


class DeferredSignals:
    """Context in which the first signal that ends a run is only recorded; a second one raises at once.

    These are SIGINT and SIGTERM, and SIGHUP and SIGUSR1 unless somebody else takes care of them: `nohup`
    ignores the one, programs that put jobs back into a queue handle the other.

    Signals reach only the main thread; in any other thread the context does nothing.

    Attributes:
        signal: number of the signal that came, or `None`.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}
        self._raising = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            default = [n for n in _POLITE if _is_free(signal.getsignal(n))]
            for number in (signal.SIGINT, signal.SIGTERM, *default):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Context in which a signal raises `KeyboardInterrupt` at once: for work that is repeated anyway."""
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._raising or self.signal is not None:
            self.signal = number
            raise KeyboardInterrupt
        self.signal = number


def _is_free(handler: Any) -> bool:
    """Whether a signal has its default handler, or that of a context around."""
    return handler is signal.SIG_DFL or isinstance(
        getattr(handler, "__self__", None), DeferredSignals
    )


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Context that a signal ends at once, as an exception does: locks and unfinished files in it are tidied up.

    A loop inside may still defer signals, by `DeferredSignals` of its own.

    Raises:
        Interrupted: a signal came.
    """
    with DeferredSignals() as signals, signals.raising():
        try:
            yield
        except KeyboardInterrupt as stop:
            if signals.signal is None:  # it came to a context inside
                raise
            raise Interrupted(getattr(stop, "folder", None), signals.signal) from None
