"""Tokens of two models on one text, brought to units that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regard.evaluation.heads.links import word_weights
from regard.viewing import Tokens

__all__ = ["Units", "common_units", "equal_tokens", "merged"]


@dataclass(frozen=True)
class Units:
    """The units of an axis: tokens, or words that both models cut at.

    Attributes:
        of_token: unit of each token; -1 for special tokens, which share a key of their own at the end.
        count: number of units.
    """

    of_token: tuple[int, ...]
    count: int


def equal_tokens(first: Tokens, second: Tokens) -> bool:
    """Whether two models cut a text alike."""
    return (first.offsets, first.special) == (second.offsets, second.special)


def common_units(sides: Sequence[Tokens]) -> list[Units] | None:
    """Words at whose beginning every model begins a token, for each model.

    Returns:
        The units of each model; `None` if one reads less of the text than another, so that words of one would
        be compared with nothing.
    """
    ends = {_end(side) for side in sides}
    starts = [_word_starts(side) for side in sides]
    common = sorted(set(starts[0]).intersection(*starts[1:]))
    if len(ends) > 1 or not common or any(min(own) != common[0] for own in starts):
        return None
    edges = np.array(common)
    units = []
    for side in sides:
        found = [
            -1 if special else int(np.searchsorted(edges, _start(side, position), "right")) - 1
            for position, special in enumerate(side.special)
        ]
        units.append(Units(tuple(found), len(common)))
    return units


def _word_starts(side: Tokens) -> list[int]:
    """Characters at which the words of a text begin."""
    return [_start(side, at) for at in side.word_starts() if not side.special[at]]


def _start(side: Tokens, position: int) -> int:
    """First character of a token that is no white space."""
    start, end = side.offsets[position]
    piece = side.text[start:end]
    return start + len(piece) - len(piece.lstrip()) if piece.strip() else start


def _end(side: Tokens) -> int:
    """Characters of the text that its tokens cover, white space at the end left out."""
    last = max(
        (b for (_, b), s in zip(side.offsets, side.special, strict=True) if not s), default=0
    )
    return len(side.text[:last].rstrip())


def merged(weights: NDArray[np.floating], queries: Units, keys: Units) -> NDArray[np.float64]:
    """Weights between units, `(heads, query units, key units + 1)`: special tokens are the last key.

    Summed over the tokens of a key, averaged over those of a query; so rows still sum to 1.
    """
    columns = [unit if unit >= 0 else keys.count for unit in keys.of_token]
    return word_weights(weights, queries.of_token, columns, (queries.count, keys.count + 1))
