"""Names of columns, as a command line gives them."""

from __future__ import annotations

from typing import cast

from regard.data import Labelled, Pairs
from regard.data.labels import Rare

__all__ = ["columns_of"]


def columns_of(
    task: str,
    source: str | None,
    target: str | None,
    separator: str | None = None,
    *,
    rare: str = "error",
) -> Labelled | Pairs:
    """The columns of a task's tables."""
    if task == "classification":
        # A word that is none of the three is refused where the columns are made.
        return Labelled(text=source, label=target, separator=separator, rare=cast(Rare, rare))
    return Pairs(source=source, target=target)
