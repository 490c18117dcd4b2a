"""Ctrl-C and SIGTERM as a request that is honoured between two updates."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupted", "Interruption"]


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and stopped with everything saved.

    Args:
        folder: where `resume` goes on from; `None` when nothing is being written.
        signal: the number of the signal that asked.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, signal: int) -> None:
        self.folder, self.signal = folder, signal
        super().__init__(f"interrupted; go on with resume in {folder}" if folder else "interrupted")


class Interruption:
    """While open, the first SIGINT or SIGTERM is only noted in `signal`; a second one acts at once.

    Signals reach only the main thread; in any other this does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._former: dict[int, Any] = {}
        self._at_once = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, a signal raises at the line it meets: for long work that is done again anyway."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._at_once or self.signal is not None:
            self.signal = number
            raise KeyboardInterrupt
        self.signal = number
