"""Attention rollout: the attention of a whole stack, from the attention of its layers."""

from __future__ import annotations

from collections.abc import Sequence

from regard.attention.map import AttentionMap
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float

__all__ = ["rollout"]


def rollout(
    maps: Sequence[AttentionMap], *, targets: Sequence[int] | None = None, residual: float = 0.5
) -> Float[Array, "*batch targets length"]:
    """Attention rollout: how much of each input reaches each target (Abnar and Zuidema 2020).

    Layer by layer, `A = residual * I + (1 - residual) * (mean of the heads)`; rollout is the product
    of the matrices `A` from the last layer to the first. Only the rows of the targets are computed, as
    vectors, by `weights.T @ g`: no `length x length` array is made unless every target is requested.

    Args:
        maps: self-attention of each layer, first layer first; layers may differ in heads.
        targets: positions of the last layer to explain; all of them unless given.
        residual: the share that the residual connection carries past attention, 0 to 1.

    Returns:
        `(..., targets, length)`, without the axis of heads; rows sum to 1 where attention's do.

    Raises:
        InputError: no maps, maps of several members of an ensemble, a residual outside 0 to 1, a target
            that does not exist.
        ShapeError: maps that are not square or do not fit each other.
    """
    if isinstance(maps, AttentionMap):
        raise InputError("rollout got one map; expected a list with the map of each layer")
    if not maps:
        raise InputError("rollout got no maps; expected one for each layer")
    members = {layer.member for layer in maps}
    if len(members) > 1:
        raise InputError(
            f"rollout got maps of {len(members)} members of an ensemble; they read the same input side by "
            "side and none reads what another wrote, so there is no path through them to follow; "
            "roll out each alone: [m for m in maps if m.member == 0]"
        )
    if not 0 <= residual <= 1:
        raise InputError(f"rollout got a residual of {residual}; expected a share from 0 to 1")
    layouts = [layer._layout for layer in maps]
    length, layout = layouts[0].keys, layouts[-1]
    if any((g.queries, g.keys, g.batch) != (length, length, layout.batch) for g in layouts):
        raise ShapeError(
            f"rollout got maps of shapes {[layer.shape for layer in maps]}; expected square ones "
            "of one size"
        )
    rows = range(length) if targets is None else targets
    if not all(-length <= row < length for row in rows):
        raise InputError(f"rollout got targets {list(rows)}; there are {length} positions")
    # One column for each target, `(batch, 1, length, targets)`: at first 1 at the target itself.
    position = layout.positions(slice(0, length))[:, None]
    target = layout.asarray([row % length for row in rows])
    flow = layout.xp.astype(position == target, layout.dtype)[None, None]
    for layer in reversed(maps):
        attended = layout.xp.mean(layer.rmatmul(flow), axis=1, keepdims=True)
        flow = residual * flow + (1 - residual) * attended
    return layout.xp.matrix_transpose(layout.restore_one_head(flow))
