"""Messages between a server and its worker processes, pickled into the socket that joins the two.

Only the server and the processes that it started hold an end of such a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from regard.choices import Precision
from regard.serving import schemas as m
from regard.serving.logs import LogFormat

__all__ = [
    "Answered",
    "Batch",
    "Cancel",
    "Content",
    "Draft",
    "Failed",
    "Handler",
    "Ready",
    "Run",
    "Start",
]

Handler: TypeAlias = Callable[[str, Any, Sequence[Any]], Sequence[Any]]
"""Answers a batch: name of the model, model, requests; it travels as the name of a function."""


class Run(NamedTuple):
    """Run of a model that answered a batch.

    Attributes:
        worker: number of the process, from 1; 0 is the server itself.
        model: its name.
        begin: nanoseconds since 1970.
        end: nanoseconds since 1970.
        batch: requests answered together.
    """

    worker: int
    model: str
    begin: int
    end: int
    batch: int


class Content(NamedTuple):
    """Answer to one request, ready to be sent.

    Attributes:
        text: JSON, or a page.
        run: that it came from.
    """

    text: str
    run: Run


@dataclass(frozen=True)
class Start:
    """First message to a worker: what to load, from folders that are gone once it is ready."""

    number: int
    places: Sequence[
        tuple[str, Path, Path]
    ]  # name of the model, folder to load from, folder it is of
    log_format: LogFormat
    precision: Precision


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its models."""

    infos: list[m.ModelInfo]


@dataclass(frozen=True)
class Batch:
    """Requests to answer together."""

    number: int
    handler: Handler
    model: str
    items: Sequence[Any]
    drafted: Sequence[int]  # of which drafts are read


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for a batch any more."""

    number: int


@dataclass(frozen=True)
class Draft:
    """Text of an answer as far as it is written."""

    index: int
    text: str


@dataclass(frozen=True)
class Answered:
    """Answers to a batch."""

    contents: list[Content]


@dataclass(frozen=True)
class Failed:
    """An error in place of answers, or of models; its traceback where it is none of ours."""

    error: Exception
    trace: str = field(default="")
