"""Names and positions of a call's arguments."""

from __future__ import annotations

import numpy as np

from regard.attention.kernels.fused.arguments import (
    BackwardCall,
    CallArrays,
    CallSettings,
    ForwardCall,
    Requested,
    RowGradients,
    result_shapes,
)
from regard.attention.kernels.fused.partition import block_edges

ARRAYS = CallArrays("q", "k", "v", "low", "high", vector="w", allowed="a", bias="b", sink="n")
SETTINGS = CallSettings(0.5, cap=2.0, dropout=0.1, seed=3, first_row=40)


def test_a_call_is_the_same_after_being_flat() -> None:
    forward = ForwardCall(ARRAYS, SETTINGS, Requested(True, 8, 5, 9, True, True))
    assert len(forward.flat()) == 20
    assert ForwardCall.from_flat(forward.flat()) == forward
    backward = BackwardCall(ARRAYS, SETTINGS, RowGradients("g", "lse", "c", "s"))
    assert BackwardCall.from_flat(backward.flat()) == backward


def test_gradients_stand_where_their_arrays_do() -> None:
    flat = ForwardCall.flat_gradients(
        CallArrays("dq", "dk", "dv", None, None, vector="dw", sink="ds")
    )
    call = ForwardCall.from_flat(flat)
    assert call.arrays.query == "dq"
    assert call.arrays.vector == "dw"
    assert call.arrays.sink == "ds"
    assert set(flat[9:]) == {None}


def test_what_is_not_requested_is_empty() -> None:
    query, key = np.empty((2, 6, 7, 4)), np.empty((2, 3, 9, 4))
    arrays = CallArrays(query, key, key, None, None)
    nothing = result_shapes(arrays, Requested(), None)
    assert nothing.output == (2, 6, 7, 4)
    assert [shape[-1] for shape in nothing[2:]] == [0] * 7
    requested = Requested(entropy=True, top=2, query_block=4, key_block=3, received=True)
    shapes = result_shapes(arrays, requested, block_edges(0, 7, 9, 4, 3))
    assert shapes.entropy == (2, 6, 7)
    assert shapes.top_indices == (2, 6, 7, 2)
    assert shapes.block_sum == (2, 6, 2, 3)
    assert shapes.received == (2, 6, 9)
