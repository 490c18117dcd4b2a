"""Answers to the texts of a corpus: batch by batch, in this process or by the workers of an engine.

A batch is a shard: what is computed together is the same with and without an engine, and so are the answers.
Nothing of an answer but what is written of it leaves a worker, and a run may keep that in a log (`AnswerLog`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from regard.api.corpus.answer_log import AnswerLog
from regard.api.corpus.copies import ModelCopy
from regard.api.tasks.answers import Answer
from regard.api.tasks.model import Model
from regard.choices import Precision
from regard.data.inputs import Input
from regard.engines import Done, Engine
from regard.version import __version__

__all__ = [
    "LINES_PER_BATCH",
    "AnswerSettings",
    "Answering",
    "Written",
    "answer_inputs",
    "log_settings",
]

LINES_PER_BATCH = 256
"""Lines answered together where nobody waits at a prompt: a longer batch is hardly faster."""

M = TypeVar("M", bound=Model)
OfModel = TypeVar("OfModel", bound=Model, contravariant=True)
A = TypeVar("A", bound=Answer)


class Written(NamedTuple):
    """What is written of an answer.

    Attributes:
        line: of text, or some lines.
        columns: values of new columns by name; empty where lines are written.
        note: on the answer; may be empty.
    """

    line: str
    columns: dict[str, Any]
    note: str


class Answering(Protocol[OfModel, A]):
    """How a command answers texts: plain data, a frozen dataclass of a module, since it travels to workers.

    Its `repr` names every setting that an answer depends on.
    """

    def answer(self, model: OfModel, texts: list[str]) -> Iterable[A]:
        """Answers to some texts, one each, in order."""
        ...

    def line(self, answer: A) -> str:
        """An answer as a line, or as some lines."""
        ...

    def columns(self, model: OfModel, answer: A) -> dict[str, Any]:
        """An answer as values of new columns."""
        ...


@dataclass(frozen=True)
class AnswerSettings(Generic[M, A]):
    """How the texts of a corpus are answered, and what is written of it.

    Attributes:
        answering: the command.
        table: whether columns are wanted, not lines.
    """

    answering: Answering[M, A]
    table: bool

    def written(self, model: M, texts: list[str]) -> list[Written]:
        """What is written of the answers to some texts."""
        how = self.answering
        return [
            Written("", how.columns(model, found), found.note)
            if self.table
            else Written(how.line(found), {}, found.note)
            for found in how.answer(model, texts)
        ]


@dataclass(frozen=True)
class _AnswerWork(Generic[M, A]):
    """The work of an engine: answers to batches of texts."""

    model: ModelCopy
    settings: AnswerSettings[M, A]

    @property
    def memory(self) -> int:
        return self.model.memory

    def begin(self) -> Callable[[list[str]], list[Written]]:
        return partial(self.settings.written, self.model.load())  # type: ignore[arg-type]


def answer_inputs(
    model: M,
    inputs: Iterator[Input],
    settings: AnswerSettings[M, A],
    *,
    engine: Engine | None = None,
    log: AnswerLog | None = None,
    size: int = LINES_PER_BATCH,
) -> Iterator[tuple[Sequence[Input], Sequence[Written]]]:
    """Yield the texts in batches, in order, with what is written of their answers.

    Args:
        model: loaded.
        inputs: read as they are needed, however many there are.
        settings: how to answer.
        engine: `None` answers in this process.
        log: keeps what is written; batches that it holds already are not answered again.
        size: texts of a batch.
    """
    waiting: deque[list[Input]] = deque()

    def shards() -> Iterator[list[str] | Done[list[Written]]]:
        while batch := list(islice(inputs, size)):
            waiting.append(batch)
            texts = [each.text for each in batch]
            kept = None if log is None else log.next_kept(texts)
            yield texts if kept is None else Done([Written(*each) for each in kept])

    for written in _results(model, shards(), settings, engine):
        batch = waiting.popleft()
        if log is not None:
            log.add([each.text for each in batch], written)
        yield batch, written


def _results(
    model: M,
    shards: Iterator[list[str] | Done[list[Written]]],
    settings: AnswerSettings[M, A],
    engine: Engine | None,
) -> Iterator[list[Written]]:
    if engine is not None:
        yield from engine.run(
            lambda files: _AnswerWork(ModelCopy.of(model, files=files), settings), shards
        )
        return
    for shard in shards:
        yield shard.result if isinstance(shard, Done) else settings.written(model, shard)


def log_settings(
    fingerprint: str, settings: AnswerSettings[M, A], precision: Precision = "float32"
) -> dict[str, str]:
    """What the answers of a log depend on, by name."""
    return {
        "model": fingerprint,
        "precision": precision,
        "settings": repr(settings),
        "version of regard": __version__,
    }
