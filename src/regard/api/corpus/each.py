"""A function of a model, for item after item, by the workers of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from regard.api.corpus.copies import ModelCopy
from regard.api.tasks.model import Model
from regard.engines import Each, Engine, Here

__all__ = ["each_of", "itself"]

S = TypeVar("S")
R = TypeVar("R")
Prepare: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class _EachWork:
    """Functions of what is made of a model, each with an item."""

    model: ModelCopy
    prepare: Prepare

    @property
    def memory(self) -> int:
        return self.model.memory

    def begin(self) -> Callable[[tuple[Callable[[Any, Any], Any], Any]], Any]:
        subject = self.prepare(self.model.load())

        def called(shard: tuple[Callable[[Any, Any], Any], Any]) -> Any:
            function, item = shard
            return function(subject, item)

        return called


@dataclass(frozen=True)
class _EachOf:
    """`Each` by the workers of an engine."""

    model: Model
    prepare: Prepare
    engine: Engine

    def __call__(self, function: Callable[[Any, S], R], items: Iterable[S]) -> Iterator[R]:
        shards: Iterable[tuple[Callable[[Any, S], R], S]] = ((function, item) for item in items)
        return self.engine.run(
            lambda files: _EachWork(ModelCopy.of(self.model, files=files), self.prepare),
            [*shards] if isinstance(items, Sized) else shards,  # a progress bar needs their number
        )


def each_of(model: Model, engine: Engine | None, prepare: Prepare) -> Each:
    """`Each` of what is made of a model, in this process or by the workers of an engine.

    Args:
        model: loaded.
        engine: `None` for this process.
        prepare: makes the subject of a model; a function of a module.
    """
    return Here(prepare(model)) if engine is None else _EachOf(model, prepare, engine)


def itself(model: Model) -> Model:
    """The model, where it is itself the subject."""
    return model
