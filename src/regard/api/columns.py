"""Names of columns, as a command line gives them."""

from __future__ import annotations

from regard.data import Labelled, Pairs

__all__ = ["columns_of"]


def columns_of(
    task: str, source: str | None, target: str | None, separator: str | None = None
) -> Labelled | Pairs | None:
    """The columns of a task's tables; `None` where nothing was said."""
    if source is target is separator is None:
        return None
    if task == "classification":
        return Labelled(text=source, label=target, separator=separator)
    return Pairs(source=source, target=target)
