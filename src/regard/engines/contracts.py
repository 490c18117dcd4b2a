"""What engines promise, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

__all__ = ["AnyWork", "Done", "Each", "Engine", "Here", "Work"]

S = TypeVar("S")
R = TypeVar("R")
Shard = TypeVar("Shard", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Work(Protocol[Shard, Result]):
    """What is done to every shard.

    Plain data, a frozen dataclass of a module, since it travels to the workers.
    """

    @property
    def memory(self) -> int:
        """Bytes that a worker needs, roughly; an engine starts no more workers than fit."""
        ...

    def begin(self) -> Callable[[Shard], Result]:
        """Make the function that is called with shard after shard; each worker calls this once."""
        ...


@dataclass(frozen=True)
class Done(Generic[R]):
    """A shard whose result is known already, from an earlier run."""

    result: R


class Engine(Protocol):
    """Workers that are given shards, and give results in the order of the shards."""

    def run(
        self, make_work: Callable[[bool], Work[S, R]], shards: Iterable[S | Done[R]]
    ) -> Iterator[R]:
        """Results of all shards, in their order.

        Shards are taken from the iterator as they are needed, a few for each worker ahead of the result that
        is due, so that neither shards nor results pile up. A shard whose worker dies is given to another one.

        Args:
            make_work: makes what is done to each of them, once the first is to be done; told whether workers
                may see other files than this process does.
            shards: plain data; those that are `Done` are passed through.

        Raises:
            RegardError: of a worker, as it would be raised here; or a shard that several workers died over.
        """
        ...


AnyWork: TypeAlias = Work[Any, Any]
"""Work on shards of any kind."""


class Each(Protocol):
    """Calls a function of one subject, such as a model, with item after item, wherever that is done."""

    def __call__(self, function: Callable[[Any, S], R], items: Iterable[S]) -> Iterator[R]:
        """Results in the order of the items.

        Args:
            function: of a module, called with the subject and an item.
            items: plain data.
        """
        ...


@dataclass(frozen=True)
class Here:
    """`Each` in this process."""

    subject: Any

    def __call__(self, function: Callable[[Any, S], R], items: Iterable[S]) -> Iterator[R]:
        """Results in the order of the items."""
        for item in items:
            yield function(self.subject, item)
