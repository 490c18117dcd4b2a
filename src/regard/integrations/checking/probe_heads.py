"""Probe of the split into heads: a position's features stay in that position's row."""

from __future__ import annotations

import numpy as np

from regard.integrations.checking.lab import MOVED, Lab
from regard.integrations.checking.probe_weights import first_tensor, positions_along, used_weights
from regard.integrations.checking.subject import to_array
from regard.integrations.checking.trace import Normalized

__all__ = ["probe_heads"]

_EQUAL = 1e-7
"""Change of a score, over the size of the scores, that is none at all."""


def probe_heads(lab: Lab) -> None:
    """Heads are split and joined without mixing positions."""
    for index, found in enumerate(lab.trace):
        shape = tuple(found.weights.shape)
        if _among_heads(lab, shape):
            lab.add(
                "heads-and-length-swapped",
                found.place,
                f"the weights {shape} are among heads within one position, not among positions",
            )
        elif _mixed_scores(lab, index, found):
            lab.add(
                "heads-and-length-swapped",
                found.place,
                "the scores of a position come from the "
                "features of "
                "other positions: its heads were cut across positions",
            )
        elif (row := _mixed_rows(lab, found)) is not None:
            lab.add(
                "heads-and-length-swapped",
                found.place,
                f"row {row} of the output is put together from other rows of the heads",
            )
    if not lab.trace:
        _probe_rows(lab)


def _among_heads(lab: Lab, shape: tuple[int, ...]) -> bool:
    sizes = lab.fitted.sizes
    heads = [*sizes.heads]
    return (
        len(shape) >= 4
        and shape[-1] == shape[-2]
        and shape[-1] not in (sizes.keys, sizes.queries, 1)
        and (not heads or shape[-1] in heads)
        and bool({sizes.keys, sizes.queries} & {*shape[:-2]})
    )


def _mixed_scores(lab: Lab, index: int, found: Normalized) -> bool:
    """Return whether another vector at one position changes other pairs in one head than in another."""
    if found.scores is None or found.scores.dim() < 3:
        return False
    sizes, shape = lab.fitted.sizes, tuple(found.scores.shape)
    queries = sizes.keys if lab.attends_to_itself else sizes.queries
    if shape[-1] != sizes.keys or shape[-2] != queries:
        return False
    position = queries // 2
    inputs = [lab.asking, *lab.keyed] if lab.attends_to_itself else [lab.asking]
    after = lab.traced(lab.redrawn(inputs, [position]))
    if index >= len(after) or after[index].scores is None:
        return False
    one, other = to_array(found.scores), to_array(after[index].scores)
    if one.shape != other.shape:
        return False
    size = max(1, np.abs(one[np.isfinite(one)]).max(initial=0))
    with np.errstate(invalid="ignore"):
        moved = (np.where(one == other, 0, np.abs(one - other)) / size).reshape(-1, *shape[-2:])
    # Another layer may mix positions before, but then the same pairs change in all heads.
    return bool(((moved.max(0) > MOVED) & (moved.min(0) < _EQUAL)).any())


def _mixed_rows(lab: Lab, found: Normalized) -> int | None:
    """A row of a module's output that depends on some other rows of the weights."""
    output = first_tensor(found.output)
    length = lab.fitted.sizes.keys if lab.attends_to_itself else lab.fitted.sizes.queries
    shape = tuple(found.weights.shape)
    if output is None or not output.requires_grad or len(shape) < 3 or shape[-2] != length:
        return None
    axis = next((i for i in range(output.dim() - 1) if output.shape[i] == length), None)
    if axis is None:
        return None
    for row in range(length):
        used = used_weights(output.select(axis, row), found.weights)
        if used is None:
            return None
        rows, columns = positions_along(used, used.ndim - 2), positions_along(used, used.ndim - 1)
        if row not in rows and columns != [row]:
            return row
    return None


def _probe_rows(lab: Lab) -> None:
    """Another query at one position changes the output at that position alone."""
    each = lab.asking
    queries = lab.fitted.of_role("query")
    if (
        not queries
        or each.length is None
        or lab.rows(lab.answer).shape[1] != each.values.shape[each.length]
    ):
        return
    lab.tried.append("another query at one position")
    length = each.values.shape[each.length]
    seen = np.stack(
        [lab.change(lab.run(lab.redrawn([each], [i]))).max(0) > MOVED for i in range(length)], 1
    )
    off = seen & ~np.eye(length, dtype=bool)
    if off.any() and off.sum(1).max() != length - 1:
        row, position = (int(n) for n in np.argwhere(off)[0])
        lab.add(
            "heads-and-length-swapped",
            each.argument.name,
            f"the output at position {row} changes with the query at position {position}",
        )
