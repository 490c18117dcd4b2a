"""Completing an index; test_map.py tests indexing itself against the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest

from regard.attention.indexing import complete_index

ALL = slice(None)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (3, (3, ALL, ALL)),
        (..., (ALL, ALL, ALL)),
        ((..., 3), (ALL, ALL, 3)),
        ((1, ..., 2), (1, ALL, 2)),
        ((1, 2, 3, ...), (1, 2, 3)),
        ((ALL, 2), (ALL, 2, ALL)),
    ],
)
def test_ellipsis_and_missing_axes_become_slices(index, expected) -> None:
    assert complete_index(index, 3) == expected


def test_too_many_indices_are_refused() -> None:
    with pytest.raises(IndexError, match="4 indices for an attention map of 3 axes"):
        complete_index(np.s_[0, 0, 0, 0], 3)
