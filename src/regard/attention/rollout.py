"""Attention rollout: from one layer's attention to the attention of the whole stack."""

from __future__ import annotations

from collections.abc import Sequence

from regard.attention.map import AttentionMap
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float

__all__ = ["rollout"]


def rollout(
    maps: Sequence[AttentionMap], *, targets: Sequence[int] | None = None, residual: float = 0.5
) -> Float[Array, "*batch targets length"]:
    """How much of each input reaches each target through all layers (Abnar and Zuidema 2020).

    Layer by layer, `A = residual * I + (1 - residual) * (mean of the heads)`; rollout is the
    product of the last layer's `A` down to the first's. Only the rows of the targets are followed,
    as vectors, through `weights.T @ g`: no `length x length` array exists unless every target is
    asked for.

    Args:
        maps: self-attention of each layer, first layer first; layers may differ in heads.
        targets: positions of the last layer to explain; all of them when not given.
        residual: the share that the residual connection carries past attention.

    Returns:
        `(..., targets, length)`, without the axis of heads; rows sum to 1 where attention's do.

    Raises:
        InputError: no maps, a residual outside 0 to 1, a target that does not exist.
        ShapeError: maps that are not square or do not fit each other.
    """
    if not maps:
        raise InputError("rollout got no maps; expected one for each layer")
    if not 0 <= residual <= 1:
        raise InputError(f"rollout got a residual of {residual}; expected a share from 0 to 1")
    layouts = [one._source.layout for one in maps]
    length, layout = layouts[0].keys, layouts[-1]
    if any((g.queries, g.keys, g.batch) != (length, length, layout.batch) for g in layouts):
        raise ShapeError(
            f"rollout got maps of shapes {[one.shape for one in maps]}; expected square ones "
            "of one size"
        )
    wanted = range(length) if targets is None else targets
    if not all(-length <= t < length for t in wanted):
        raise InputError(f"rollout got targets {list(wanted)}; there are {length} positions")
    places = layout.asarray([t % length for t in wanted])
    column = layout.places(slice(0, length))[:, None]
    flow = layout.xp.astype(column == places, layout.dtype)[None, None]
    for one in reversed(maps):
        through = layout.xp.mean(one.rmatmul(flow), axis=1, keepdims=True)
        flow = residual * flow + (1 - residual) * through
    flow = layout.xp.matrix_transpose(flow[:, 0])
    return flow if layout.rank > 2 else flow[0]
