"""Cancellation: a computation stops at its next step once nobody waits for its answer.

Whoever starts a computation says when it is in vain (`cancelled_if`); loops of many steps ask at each of
them (`check_cancelled`). The condition is a context variable: it concerns one thread and what that
starts, and no function in between has to pass it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from regard.errors import RegardError

__all__ = ["AbandonedError", "cancelled_if", "check_cancelled"]

_CONDITION: ContextVar[Callable[[], bool] | None] = ContextVar("cancelled_if", default=None)


class AbandonedError(RegardError):
    """A computation stopped before its end, because nobody waits for its answer."""


@contextmanager
def cancelled_if(condition: Callable[[], bool]) -> Iterator[None]:
    """Stop what is computed inside at the first step at which `condition()` is true.

    Args:
        condition: cheap, since every step of every loop asks it; called in the computing thread.

    >>> with cancelled_if(lambda: False):
    ...     check_cancelled()
    """
    token = _CONDITION.set(condition)
    try:
        yield
    finally:
        _CONDITION.reset(token)


def check_cancelled() -> None:
    """Stop here if the surrounding `cancelled_if` says so.

    Raises:
        AbandonedError: its condition is true.
    """
    condition = _CONDITION.get()
    if condition is not None and condition():
        raise AbandonedError("nobody waits for this answer any more")
