"""Statistics of attention heads on one text, from its weights a few rows at a time."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OFFSETS",
    "SHARES",
    "STATISTICS",
    "TextSums",
    "TokenAxis",
    "head_sums",
    "is_punctuation",
]

Weights = NDArray[np.floating]
Tile = tuple[slice, Weights]
"""Some rows of the maps of a text, and their weights `(heads, rows, keys)`."""

SHARES = (
    "first",
    "separators",
    "sink",
    "previous",
    "same",
    "next",
    "duplicate",
    "induction",
    "punctuation",
)
"""Statistics that are a share of a query's weight: that on some of its keys."""

OFFSETS = {"previous": -1, "same": 0, "next": 1}
"""Relative positions of keys that heads are known to look at."""

STATISTICS = (
    "entropy",
    "normalized_entropy",
    "confidence",
    "distance",
    *SHARES,
    *(f"{name}_strongest" for name in OFFSETS),
    "concentration",
)
"""Names of all statistics, in the order of the arrays."""

_ROW = {name: row for row, name in enumerate(STATISTICS)}


@dataclass(frozen=True, eq=False)
class TokenAxis:
    """The tokens along one axis of a map, as statistics need them.

    Attributes:
        ids: `(n,)`, equal for equal tokens.
        special: `(n,)`, whether a token belongs to the model and not to the text.
        punctuation: `(n,)`, whether a token is punctuation.
    """

    ids: NDArray[np.int64]
    special: NDArray[np.bool_]
    punctuation: NDArray[np.bool_]

    @classmethod
    def of(cls, ids: Sequence[int], pieces: Sequence[str], special: Sequence[bool]) -> Self:
        """The axis of some tokens.

        Args:
            ids: equal for equal tokens.
            pieces: tokens as text, which say what is punctuation.
            special: whether a token belongs to the model.
        """
        marks = np.array(special, dtype=bool)
        signs = np.array([is_punctuation(piece) for piece in pieces], dtype=bool)
        return cls(np.array(ids, dtype=np.int64), marks, signs & ~marks)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class TextSums:
    """Sums over the queries of one text.

    Attributes:
        total: `(statistics, heads)`, sums over the queries that count for a statistic.
        count: `(statistics,)`, numbers of these queries; 0 where the text says nothing.
        chance: `(statistics,)`, sums of what a head that looks at all visible keys alike would have: shares
            of `SHARES` alone, else 0.
        own: `(own statistics, heads)`, sums over all queries; `None` without any.
        queries: of the text, over which `own` is summed.
    """

    total: NDArray[np.float64]
    count: NDArray[np.float64]
    chance: NDArray[np.float64]
    own: NDArray[np.float64] | None = None
    queries: int = 0

    @staticmethod
    def of_heads(parts: Sequence[TextSums]) -> TextSums:
        """Sums of the heads of several layers on one text, together."""
        total = np.concatenate([part.total for part in parts], axis=1)
        own = [part.own for part in parts if part.own is not None]
        return replace(parts[0], total=total, own=np.concatenate(own, axis=1) if own else None)


def is_punctuation(piece: str) -> bool:
    """Whether a token is made of punctuation and symbols alone (Unicode categories P and S).

    >>> is_punctuation(" ..."), is_punctuation("don't"), is_punctuation(" ")
    (True, False, False)
    """
    signs = piece.strip()
    return bool(signs) and all(unicodedata.category(sign)[0] in "PS" for sign in signs)


def head_sums(
    tiles: Iterable[Tile], queries: TokenAxis, keys: TokenAxis, *, causal: bool, is_self: bool
) -> TextSums:
    r"""Sums of every statistic over the queries of one text, for every head.

    With the weights `w_ij` of query `i`, which sees `v_i` keys (`i + 1` where `causal`, else all):

    * `entropy`: `-\sum_j w_ij \log w_ij` in nats; `normalized_entropy`: divided by `\log v_i`, 1 for uniform.
    * `confidence`: `\max_j w_ij` (Voita et al. 2019). `distance`: `\sum_j w_ij |i - j|` in tokens.
    * Shares: `\sum_{j \in T_i} w_ij` over target keys `T_i`, of the queries that see some:

      - `first`: key 0; `separators`: special tokens but key 0; `sink`: both together.
      - `previous`, `same`, `next`: key `i - 1`, `i`, `i + 1`.
      - `duplicate`: other occurrences `j != i` of the query's word. `induction`: the keys that follow one,
        `j - 1 != i` and `j != i` (Olsson et al. 2022: the prefix-matching score). Queries that are special
        or punctuation are left out: commas repeat without saying anything.
      - `punctuation`: keys that are punctuation (Clark et al. 2019).

    * `previous_strongest` and so on: whether key `i - 1` has the largest weight (Voita et al. 2019).
    * `concentration`: 1 minus the normalized entropy of the mass that keys receive from all queries; 0 if all
      keys receive alike, 1 if one receives everything.

    Of self-attention, queries 0 and 1 do not count for `first`, `separators`, `sink`, `previous` and `same`: of
    few keys one is always near, first and previous at once. Positions, duplicates and induction are of
    self-attention alone.

    Args:
        tiles: rows and their weights, together all rows, in any order.
        queries: tokens along the rows.
        keys: tokens along the columns.
        causal: whether a query sees only keys up to itself.
        is_self: whether queries and keys are the same tokens.
    """
    heads = 0
    total: NDArray[np.float64] | None = None
    count, chance = np.zeros(len(STATISTICS)), np.zeros(len(STATISTICS))
    received: NDArray[np.float64] | None = None
    for rows, weights in tiles:
        if total is None or received is None:
            heads = len(weights)
            total, received = np.zeros((len(STATISTICS), heads)), np.zeros((heads, len(keys)))
        positions = np.arange(rows.start, rows.start + weights.shape[1])
        visible = _visible(positions, len(keys), causal=causal)
        _add_spread(total, count, weights, visible)
        targets = _targets(positions, queries, keys, causal=causal, is_self=is_self)
        _add_shares(total, count, chance, weights, visible, targets)
        if is_self:
            distance = np.abs(positions[:, None] - np.arange(len(keys)))
            total[_ROW["distance"]] += _weighted(weights, distance[None])[0]
            count[_ROW["distance"]] += len(positions)
            _add_strongest(total, count, weights, positions, targets)
        received += weights.sum(axis=1, dtype=np.float64)
    if total is None or received is None:
        raise ValueError("no tiles: a text without queries has no statistics")
    if len(keys) > 1:
        mass = received / np.maximum(received.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        total[_ROW["concentration"]] = 1 - _entropy(mass) / np.log(len(keys))
        count[_ROW["concentration"]] = 1
    return TextSums(total, count, chance)


def _visible(positions: NDArray[np.int64], keys: int, *, causal: bool) -> NDArray[np.int64]:
    """Number of keys that each query sees."""
    return np.minimum(positions + 1, keys) if causal else np.full(len(positions), keys)


def _entropy(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy along the last axis, in nats."""
    logs = np.log(np.where(weights > 0, weights, 1.0))
    entropy: NDArray[np.float64] = 0.0 - np.einsum(
        "...k,...k->...", weights, logs, dtype=np.float64
    )
    return entropy


def _add_spread(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    weights: Weights,
    visible: NDArray[np.int64],
) -> None:
    """Add entropy and confidence; a query with one key has no choice and does not count."""
    free = visible > 1
    if not free.any():
        return
    entropy = _entropy(weights[:, free])
    total[_ROW["entropy"]] += entropy.sum(axis=1)
    total[_ROW["normalized_entropy"]] += (entropy / np.log(visible[free])).sum(axis=1)
    total[_ROW["confidence"]] += weights[:, free].max(axis=2).sum(axis=1, dtype=np.float64)
    for name in ("entropy", "normalized_entropy", "confidence"):
        count[_ROW[name]] += free.sum()


def _targets(
    positions: NDArray[np.int64],
    queries: TokenAxis,
    keys: TokenAxis,
    *,
    causal: bool,
    is_self: bool,
) -> NDArray[np.bool_]:
    """Target keys of each share, `(shares, rows, keys)`; a row without any does not count."""
    shape, key = (len(positions), len(keys)), np.arange(len(keys))
    first = np.broadcast_to(key == 0, shape)
    separators = np.broadcast_to(keys.special & (key > 0), shape)
    signs = np.broadcast_to(keys.punctuation, shape)
    offset = key - positions[:, None]
    none = np.zeros(shape, dtype=bool)
    found = {
        "first": first,
        "separators": separators,
        "sink": first | separators,
        **dict.fromkeys(("previous", "same", "next", "duplicate", "induction"), none),
        "punctuation": signs,
    }
    if is_self:
        word = ~(queries.special | queries.punctuation)[positions]
        again = (queries.ids[positions][:, None] == keys.ids) & ~keys.special & (offset != 0)
        again &= word[:, None]
        after = np.zeros(shape, dtype=bool)
        after[:, 1:] = again[:, :-1]
        found |= {name: offset == by for name, by in OFFSETS.items()}
        found |= {"duplicate": again, "induction": after & (offset != 0) & ~keys.special}
        counted = (positions > 1)[:, None]
        for name in ("first", "separators", "sink", "previous", "same"):
            found[name] = found[name] & counted
    targets = np.stack([found[name] for name in SHARES])
    return targets & (offset <= 0) if causal else targets


def _add_shares(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    chance: NDArray[np.float64],
    weights: Weights,
    visible: NDArray[np.int64],
    targets: NDArray[np.bool_],
) -> None:
    """Add the weight on target keys, and what a uniform head would have there."""
    rows = [_ROW[name] for name in SHARES]
    total[rows] += _weighted(weights, targets)
    of_row = targets.sum(axis=2)
    count[rows] += (of_row > 0).sum(axis=1)
    chance[rows] += (of_row / visible).sum(axis=1)


def _weighted(weights: Weights, factors: NDArray[np.generic]) -> NDArray[np.float64]:
    """Weights times factors `(kinds, rows, keys)`, summed over rows and keys: `(kinds, heads)`."""
    flat = weights.reshape(len(weights), -1)
    product = factors.reshape(len(factors), -1).astype(flat.dtype) @ flat.T
    return product.astype(np.float64)


def _add_strongest(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    weights: Weights,
    positions: NDArray[np.int64],
    targets: NDArray[np.bool_],
) -> None:
    """Add how often the key at a relative position has the largest weight."""
    offset = weights.argmax(axis=2) - positions
    for name, by in OFFSETS.items():
        row, counts = _ROW[f"{name}_strongest"], targets[SHARES.index(name)].any(axis=1)
        total[row] += (offset[:, counts] == by).sum(axis=1)
        count[row] += counts.sum()
