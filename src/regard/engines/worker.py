"""A worker: one process of an engine, with what it needs loaded once."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from regard.errors import RegardError
from regard.version import __version__

__all__ = ["Failure", "Worker"]


@dataclass(frozen=True)
class Failure:
    """An error of a worker, as a result: an engine's own errors are those of the engine.

    Attributes:
        error: what was raised.
        trace: where, as text, for errors that are not raised on purpose.
    """

    error: Exception
    trace: str

    def reraise(self) -> NoReturn:
        """Raise the error as if it had come about in this process."""
        if not isinstance(self.error, RegardError):
            self.error.add_note(f"in a worker:\n{self.trace}")
        raise self.error


class Worker:
    """The process of a worker.

    Args:
        work: pickled `Work`. It is opened once the number of threads is set, because torch and the libraries
            of NumPy read that when they are imported.
    """

    def __init__(self, work: bytes) -> None:
        os.environ["OMP_NUM_THREADS"] = (
            "1"  # one processor a worker; the driver's own number is of all
        )
        self._work = work
        self._function: Callable[[Any], Any] | None = None

    def version(self) -> str:
        """Version of regard on this machine, once the worker has started."""
        return __version__

    def do(self, shard: Any) -> Any:
        """Result of a shard, or a `Failure`."""
        try:
            function = self._function
            if function is None:
                function = pickle.loads(self._work).begin()  # noqa: S301 - of our own driver
                self._function = function
            return function(shard)
        except Exception as error:
            return Failure(_portable(error), traceback.format_exc())


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process."""
    error.__cause__ = error.__context__ = None  # may hold anything; the trace tells of them
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # whatever the error holds decides what pickle raises
        return RegardError(f"{type(error).__name__}: {error}")
    return error
