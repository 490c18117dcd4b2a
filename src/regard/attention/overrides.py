"""Whether a method is the library's own or was replaced, by a subclass or on the object itself.

A fast path computes by a formula what a method would compute. It may do so only where that very method
would run: a subclass of `ScaledDot` with a `pairwise` of its own is no scaled dot product any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["library_class", "runs"]


def runs(owner: object, name: str, function: Callable[..., Any]) -> bool:
    """Whether calling the method `name` of `owner` runs `function`.

    Args:
        owner: a score, normaliser, mask or bias, of any class.
        name: of the method.
        function: of the library, as in `DotScore.pairwise`.
    """
    replaced = name in getattr(owner, "__dict__", ())
    return getattr(type(owner), name, None) is function and not replaced


def library_class(owner: object) -> type:
    """The most derived class of `owner` that belongs to this library; `object` if there is none."""
    for kind in type(owner).__mro__:
        if kind.__module__.partition(".")[0] == "regard":
            return kind
    return object
