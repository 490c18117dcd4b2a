"""Options of the commands that read many texts: who works on them, and what an interrupted run goes on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.choices import EngineName

if TYPE_CHECKING:
    from regard.api.progress import WatchedEngine
    from regard.engines import RayEngine

__all__ = ["EngineChoice", "StateFile", "open_engine", "open_watched_engine"]

EngineChoice = Annotated[
    EngineName | None,
    typer.Option(
        help="Spread the work over a Ray cluster: that of RAY_ADDRESS, or one on this machine."
    ),
]
StateFile = Annotated[
    Path | None,
    typer.Option(help="File that keeps the state: an interrupted run goes on from it."),
]


def open_engine(name: EngineName | None) -> AbstractContextManager[RayEngine | None]:
    """Context of the engine that a user named, which ends with it; of `None` for this process.

    Raises:
        MissingExtraError: its package is not installed.
    """
    if name is None:
        return nullcontext(None)
    from regard.engines import engine_named

    engine = engine_named(name)
    assert engine is not None
    return engine


@contextmanager
def open_watched_engine(name: EngineName | None) -> Iterator[WatchedEngine | None]:
    """Context of an engine with a progress bar of its own, for commands without one (`open_engine`)."""
    with open_engine(name) as engine:
        if engine is None:
            yield None
            return
        from regard.api.progress import WatchedEngine

        yield WatchedEngine(engine)
