"""Notes on a request, from the route that queued it to the middleware that logs and traces it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from regard.serving.messages import Run

__all__ = ["Notes", "Waited", "notes_of"]

_KEY = "regard.notes"


class Waited(NamedTuple):
    """Stay of a request in the queue.

    Attributes:
        since: nanoseconds since 1970.
        run: of the model, that ended it; `None` where none did.
    """

    since: int
    run: Run | None


@dataclass
class Notes:
    """Notes on one request.

    Attributes:
        waited: each stay in the queue.
    """

    waited: list[Waited] = field(default_factory=list)

    def add(self, since: int, run: Run | None) -> None:
        """Note a stay in the queue."""
        self.waited.append(Waited(since, run))

    @property
    def worker(self) -> int:
        """Number of the worker that answered; 0 if none did, or the server itself."""
        return next((w.run.worker for w in reversed(self.waited) if w.run is not None), 0)


def notes_of(scope: MutableMapping[str, Any]) -> Notes:
    """The notes on a request, by its ASGI scope; made where there are none yet."""
    notes = scope.setdefault(_KEY, Notes())
    assert isinstance(notes, Notes)
    return notes
