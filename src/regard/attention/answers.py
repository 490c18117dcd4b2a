"""Answers that a map keeps: of the statistics computed along with the output, and of users' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from regard.attention.arrays import copied, stop_gradient
from regard.attention.kernels import NamedStatistic
from regard.attention.kernels.statistics import DEFAULT_POOL, DEFAULT_TOPK
from regard.attention.statistics import Statistic
from regard.errors import SettingsError, nearest

__all__ = ["WATCHABLE", "Answers", "Watch", "is_same", "watched_statistics"]

WATCHABLE: dict[str, NamedStatistic] = {
    "entropy": ("entropy",),
    "lse": ("lse",),
    "max_score": ("max_score",),
    "pool": DEFAULT_POOL,
    "received": ("received",),
    "topk": DEFAULT_TOPK,
}
"""Statistics that `attend(watch=...)` computes along with the output, with their default arguments."""

Watch = Sequence[str | Statistic]
"""Names of `WATCHABLE`, and statistics of one's own."""


def watched_statistics(watch: Watch) -> tuple[tuple[NamedStatistic, ...], tuple[Statistic, ...]]:
    """The statistics named by `watch`, with the default arguments of their methods, and users' own.

    Raises:
        SettingsError: a statistic that does not exist; names the nearest.
    """
    if isinstance(watch, str):
        raise SettingsError(f"watch got {watch!r}; expected several names, as in ({watch!r},)")
    if isinstance(watch, Statistic):
        raise SettingsError(f"watch got one statistic, {watch!r}; expected several, as in (it,)")
    own = tuple(one for one in watch if isinstance(one, Statistic))
    named = [name for name in watch if not isinstance(name, Statistic)]
    for name in named:
        if name not in WATCHABLE:
            raise SettingsError(f"watch got {name!r}; {nearest(str(name), WATCHABLE)}")
    return tuple(WATCHABLE[name] for name in named), own


class Answers:
    """Answers by statistic, arrays or tuples of arrays with four axes.

    A statistic of one's own is known by its class and attributes as they were when it was computed: changed
    since, it is another one.

    Args:
        named: of the library's statistics.
        own: of users' statistics.
    """

    def __init__(
        self, named: Mapping[NamedStatistic, Any] | None = None, own: Sequence[tuple[Any, Any]] = ()
    ) -> None:
        self.named: dict[NamedStatistic, Any] = dict(named or {})
        self._own: list[tuple[Any, Any]] = list(own)

    def of(
        self,
        statistic: NamedStatistic,
        compute: Callable[[], Mapping[NamedStatistic, Any] | None],
        *,
        keep: bool = True,
    ) -> Any:
        """A copy of an answer, computed unless it is there; `None` where it cannot be computed.

        Args:
            statistic: what to answer.
            compute: gives its answer, and those of other questions.
            keep: whether to keep these answers, beside those that are there: what was computed first stays.
        """
        if statistic not in self.named:
            found = compute()
            if found is None:
                return None
            if not keep:
                return found[statistic]
            for name, answer in found.items():
                self.named.setdefault(name, answer)
        return _each(copied, self.named[statistic])

    def keep(self, statistic: Statistic, answer: Any) -> None:
        """Keep the answer of a user's statistic."""
        self._own.append((_state(statistic), answer))

    def kept(self, statistic: Statistic) -> Any:
        """A copy of the answer of a user's statistic, or `None`."""
        state = _state(statistic)
        found = (answer for known, answer in self._own if _equal(known, state))
        answer = next(found, None)
        return None if answer is None else _each(copied, answer)

    def copy(self) -> Answers:
        """The answers, to which others may be added."""
        return Answers(self.named, self._own)

    def without_gradients(self) -> Answers:
        """The answers without the graph behind their gradients."""
        named = {name: _each(stop_gradient, answer) for name, answer in self.named.items()}
        return Answers(named, [(state, _each(stop_gradient, x)) for state, x in self._own])


def is_same(one: Statistic, other: Statistic) -> bool:
    """Whether two objects are one statistic: of one class, with equal numbers and texts and the same arrays."""
    return _equal(_state(one), _state(other))


def _each(function: Callable[[Any], Any], answer: Any) -> Any:
    return tuple(map(function, answer)) if isinstance(answer, tuple) else function(answer)


def _state(statistic: Statistic) -> tuple[Any, ...]:
    """Class and attributes of a statistic; the object itself where it has no dictionary of them."""
    names = getattr(statistic, "__dict__", None)
    if names is None:
        return (statistic,)
    return type(statistic), *((name, names[name]) for name in sorted(names))


def _equal(one: Any, other: Any) -> bool:
    """Whether two states are one: numbers, texts and their tuples by value, all else by identity."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool | int | float | str | bytes) and one == other
