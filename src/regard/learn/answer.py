"""A learner's answer, called with care: what is wrong with a call or a result is said as a hint.

Checks are written with these functions. They run in a process of their own (`regard.learn.judge`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Answer", "Array", "Raised", "Wrong", "check_close", "check_shape", "shown"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

Mistakes: TypeAlias = Iterable[tuple[Any, str]]
"""Results of known misconceptions, each with the hint that names it."""

SMALL = 24
"""Numbers of an array that is printed whole."""


class Wrong(Exception):  # noqa: N818 - a finding about an answer, no fault of ours
    """An answer that is not right yet; the message is the hint."""


class Raised(Exception):  # noqa: N818
    """An exception of the learner's code, which is the cause; the message is the call that raised it."""


class Answer:
    """The functions of an answer.

    Args:
        names: of the answer file's module.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def function(self, name: str) -> Any:
        """The learner's function.

        Raises:
            Wrong: there is none of this name.
        """
        if name not in self._names:
            own = [n for n in self._names if not n.startswith("__")]
            close = difflib.get_close_matches(name, own, n=1)
            near = f"; there is `{close[0]}`" if close else ""
            raise Wrong(f"The file has no `{name}`{near}. Keep the name that it was written with.")
        if not callable(self._names[name]):
            raise Wrong(
                f"`{name}` is a {type(self._names[name]).__name__}; it should be a function."
            )
        return self._names[name]

    def call(self, name: str, /, *arguments: Any) -> Any:
        """The result of a call.

        Raises:
            Raised: the function raised an exception.
            Wrong: it returned nothing, or changed its arguments.
        """
        function, given = self.function(name), [_copy(argument) for argument in arguments]
        call = f"{name}({', '.join(_short(argument) for argument in arguments)})"
        try:
            result = function(*given)
        except Exception as error:
            raise Raised(call) from error
        if result is None:
            raise Wrong(f"{call} returned None. Does every way through it end with `return`?")
        for before, after in zip(arguments, given, strict=True):
            if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True):
                raise Wrong(
                    f"{call} changes the array it was given, so whoever called it has lost it. "
                    "Operators such as `x -= 1` work in place; write `x = x - 1`."
                )
        return result

    def array(self, name: str, /, *arguments: Any, shape: tuple[int, ...] | None = None) -> Array:
        """The result of a call, as a NumPy array of numbers or Booleans.

        Args:
            name: of the function.
            arguments: of the call.
            shape: that the result must have.

        Raises:
            Raised: the function raised an exception.
            Wrong: the result is no array, or one of another shape.
        """
        array = as_array(self.call(name, *arguments), f"`{name}`")
        if shape is not None:
            check_shape(array, shape, what=f"`{name}`")
        return array


def as_array(result: Any, what: str) -> Array:
    """A result of NumPy, torch or Keras, or of nested lists, as a NumPy array.

    Raises:
        Wrong: it is something else.
    """
    if isinstance(result, tuple) and any(np.ndim(_plain(part)) > 0 for part in result):
        raise Wrong(f"{what} returns {len(result)} arrays; one was expected.")
    try:
        array = np.asarray(_plain(result))
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise Wrong(f"{what} returns a {type(result).__name__}; an array of numbers was expected.")
    return array


def _plain(result: Any) -> Any:
    return result.detach().cpu().numpy() if hasattr(result, "detach") else result


def check_shape(array: Array, shape: tuple[int, ...], *, what: str, hint: str = "") -> None:
    """Compare a shape.

    Raises:
        Wrong: it is another one; the hint says so if one is given.
    """
    if array.shape != shape:
        raise Wrong(f"{what} has the shape {array.shape}; {shape} was expected. {hint}".rstrip())


def check_close(
    got: Any, expected: Any, *, what: str, mistakes: Mistakes = (), atol: float = 1e-5
) -> None:
    """Compare numbers, and name the misconception where they are those of a known one.

    Args:
        got: from the learner.
        expected: what is right.
        what: the expression that was computed, for the message.
        mistakes: results of known misconceptions, with their hints; those of another shape, too.
        atol: absolute tolerance, wide enough for float32.

    Raises:
        Wrong: the numbers differ.
    """
    got, expected = as_array(got, what), np.asarray(expected)
    if got.shape == expected.shape and np.allclose(got, expected, rtol=1e-4, atol=atol):
        return
    for mistaken, hint in mistakes:
        value = np.asarray(mistaken)
        if got.shape == value.shape and np.allclose(got, value, 1e-4, atol, equal_nan=True):
            raise Wrong(hint)
    check_shape(got, expected.shape, what=what)
    if np.isnan(got).any() and not np.isnan(expected).any():
        raise Wrong(f"{what} has NaN ({shown(got)}); {shown(expected)} was expected.")
    if got.size <= SMALL:
        raise Wrong(f"{what} is {shown(got)}; {shown(expected)} was expected.")
    where = tuple(
        int(i) for i in np.unravel_index(np.argmax(np.abs(got - expected)), expected.shape)
    )
    raise Wrong(
        f"{what}[{', '.join(map(str, where))}] is {got[where]:.4g}; "
        f"{expected[where]:.4g} was expected."
    )


def shown(array: Any) -> str:
    """A small array in one line; the shape of a large one."""
    array = np.asarray(array)
    if array.size > SMALL:
        return f"array of shape {array.shape}"
    text = np.array2string(array, precision=4, suppress_small=True, separator=", ")
    return " ".join(text.split()).replace("[ ", "[")


def _short(argument: Any) -> str:
    """An argument in a message."""
    if hasattr(argument, "shape"):
        small = isinstance(argument, np.ndarray) and argument.size <= 9
        return shown(argument) if small else f"<{tuple(argument.shape)}>"
    if callable(argument):
        return f"<{getattr(argument, '__name__', type(argument).__name__)}>"
    return repr(argument)


def _copy(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.copy()
    if isinstance(argument, list):
        return list(argument)
    return argument.clone() if hasattr(argument, "clone") else argument
