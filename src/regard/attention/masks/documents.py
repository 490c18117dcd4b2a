"""Masks of sequences packed into one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.attention.arrays import is_array, to_numpy
from regard.attention.layout import AttentionLayout
from regard.attention.masks.base import Intervals, Mask
from regard.errors import MaskError
from regard.shapes import Array, Bool

__all__ = ["documents"]


def documents(queries: Any, keys: Any = None) -> Mask:
    """Queries may attend to keys of their own document, for sequences packed into one row.

    Args:
        queries: `(length,)` or `(batch, length)` integers, the document of each position.
        keys: `(length,)` or `(batch, length)` integers; the queries' unless given.

    Raises:
        MaskError: another type or shape.
    """
    query_ids = _document_ids(queries)
    key_ids = query_ids if keys is None else _document_ids(keys)
    return _Documents(query_ids, key_ids, _document_ranges(query_ids, key_ids))


@dataclass(frozen=True, eq=False)
class _Documents(Mask):
    """Positions of one document may attend to each other.

    Attributes:
        queries: `(batch or 1, queries)`, the document of each query.
        keys: `(batch or 1, keys)`, the document of each key.
        ranges: first key and end for each query, or `None` if a document is in several pieces.
    """

    queries: np.ndarray
    keys: np.ndarray
    ranges: tuple[np.ndarray, np.ndarray] | None

    def check(self, layout: AttentionLayout) -> None:
        for name, ids, length in (
            ("queries", self.queries, layout.queries),
            ("keys", self.keys, layout.keys),
        ):
            if ids.shape[0] not in (1, layout.batch) or ids.shape[1] != length:
                raise MaskError(
                    f"documents got {name} of shape {ids.shape}; expected ({layout.batch}, {length})"
                )

    def tile(
        self, layout: AttentionLayout, rows: slice, columns: slice
    ) -> Bool[Array, "batch heads rows columns"]:
        same = self.queries[:, None, rows, None] == self.keys[:, None, None, columns]
        return layout.asarray(same)

    def intervals(self, layout: AttentionLayout) -> Intervals | None:
        if self.ranges is None:
            return None
        low, high = self.ranges
        return layout.asarray(low)[:, None], layout.asarray(high)[:, None]


def _document_ids(ids: Any) -> np.ndarray:
    array = to_numpy(ids)
    if array.size == 0 and not is_array(ids):  # no positions
        array = array.astype(np.int64)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise MaskError(
            f"documents got {array.dtype} of shape {array.shape}; expected (batch, length) integers"
        )
    return array if array.ndim == 2 else array[None]


def _document_ranges(queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The range of keys of each query's document, or `None` if a document is in several pieces.

    Args:
        queries: `(batch or 1, queries)` documents.
        keys: `(batch or 1, keys)` documents.

    Returns:
        First key and end, `(batch or 1, queries)` each; 0 and 0 for a document without keys.
    """
    batch = max(queries.shape[0], keys.shape[0])
    low = np.zeros((batch, queries.shape[1]), np.int64)
    high = np.zeros_like(low)
    for example in range(batch):
        of_query, of_key = queries[example % len(queries)], keys[example % len(keys)]
        ids, first, count = np.unique(of_key, return_index=True, return_counts=True)
        end = len(of_key) - np.unique(of_key[::-1], return_index=True)[1]
        if np.any(end - first != count):  # a stranger between first and last
            return None
        index = np.minimum(np.searchsorted(ids, of_query), max(0, len(ids) - 1))
        if len(ids):
            found = ids[index] == of_query
            low[example], high[example] = first[index] * found, end[index] * found
    return low, high
