"""Masks: which keys each query may attend to. `True` means "may attend", everywhere.

A mask is not built as a whole matrix when that can be avoided. It answers for any tile of the matrix;
and where the keys a query may attend to are one range, it gives the ends of that range. Causal, window,
padding and contiguous document masks are such intervals, and so is any `&` of them, so a kernel needs
just two integers per row.

>>> import numpy as np
>>> from regard.attention.masks import causal, padding, window
>>> lengths, anchors = np.array([5, 3]), np.eye(5, dtype=bool)
>>> mask = causal() & window(128) & padding(lengths)
>>> mask = padding(lengths) | anchors  # a Boolean array joins in with `&` and `|`
>>> mask = ~causal() & padding(lengths)  # `~` inverts; Python's `and`, `or` and `not` are errors
"""

from regard.attention.masks.bands import causal, is_causal, local, window
from regard.attention.masks.base import (
    IntervalMask,
    Intervals,
    Mask,
    as_mask,
    key_ranges,
    mask_tile,
    tile_for_all_queries,
    where,
)
from regard.attention.masks.documents import documents
from regard.attention.masks.padding import padding

__all__ = [
    "IntervalMask",
    "Intervals",
    "Mask",
    "as_mask",
    "causal",
    "documents",
    "is_causal",
    "key_ranges",
    "local",
    "mask_tile",
    "padding",
    "tile_for_all_queries",
    "where",
    "window",
]
