"""Shapes of query, value and key, told by the axis that does not fit and what to try.

Shapes are tuples in which `None` is a size that is not known yet, as Keras has them while a model is built.
"""

from __future__ import annotations

from typing import Any

from regard.errors import InputError, ShapeError

__all__ = [
    "check_heads",
    "check_lengths",
    "check_list",
    "check_masks",
    "check_rate",
    "check_size",
    "check_widths",
]

Shape = tuple[int | None, ...]

_ORDER = "Keras's order is query, value, key"


def check_list(layer: str, inputs: Any) -> list[Any]:
    """Query, value and key of a layer that is called on a list.

    Returns:
        `[query, value, key]`, the key being the value unless it was given.

    Raises:
        InputError: no list, or one of another length.
    """
    if not isinstance(inputs, list | tuple):
        raise InputError(
            f"{layer} layer must be called on a list of inputs, [query, value] or [query, value, key]; got a "
            f"{type(inputs).__name__}; for self-attention pass [x, x]"
        )
    if len(inputs) not in (2, 3):
        raise InputError(
            f"{layer} layer got {len(inputs)} inputs; expected a list of length 2 or 3, [query, value] or "
            "[query, value, key]"
        )
    query, value, *rest = inputs
    return [query, value, *(rest or [value])]


def check_masks(layer: str, mask: Any) -> tuple[Any, Any, Any]:
    """Masks of query, value and key; `None` where there is none.

    Raises:
        InputError: no list, or one of another length.
    """
    if mask is None:
        return None, None, None
    if not isinstance(mask, list | tuple):
        raise InputError(
            f"{layer} layer mask must be a list, [query_mask, value_mask]; got a {type(mask).__name__}"
        )
    if len(mask) not in (2, 3):
        raise InputError(
            f"{layer} layer got {len(mask)} masks; expected a list of length 2 or 3, [query_mask, "
            "value_mask] or [query_mask, value_mask, key_mask]"
        )
    query, value, *rest = mask
    return query, value, rest[0] if rest else None


def check_lengths(layer: str, query: Shape, value: Shape, key: Shape) -> None:
    """Check numbers of axes, batches and lengths.

    Raises:
        ShapeError: a tensor without a time axis, several batch sizes, or a key without its value.
    """
    shapes = {"query": query, "value": value, "key": key}
    for name, shape in shapes.items():
        if len(shape) < 3:
            raise ShapeError(
                f"{layer}: {name} has shape {shape}; expected (batch, time, features)"
                + (
                    f"; for one step give it a time axis: {name}[:, None]"
                    if len(shape) == 2
                    else ""
                )
            )
    for name, shape in (("value", value), ("key", key)):
        if len(shape) != len(query):
            raise ShapeError(
                f"{layer}: query has shape {query} and {name} {shape}; expected as many axes in each"
            )
        for axis in range(len(query) - 2):
            if _differ(query[axis], shape[axis]):
                what = "batch size" if axis == 0 else "size"
                raise ShapeError(
                    f"{layer}: query has {what} {query[axis]} on axis {axis} and {name} {shape[axis]}; "
                    f"expected as many (query {query}, {name} {shape})"
                )
    if _differ(value[-2], key[-2]):
        raise ShapeError(
            f"{layer}: value has {value[-2]} positions on axis {len(value) - 2} and key {key[-2]}; expected "
            f"one value for each key ({_ORDER}: query {query}, value {value}, key {key})"
        )


def check_widths(
    layer: str, query: Shape, value: Shape, key: Shape, what: str, remedy: str
) -> None:
    """Check that query and key have as many features.

    Args:
        layer: name of the layer.
        query: its shape.
        value: its shape, by which a value in the place of the key is recognised.
        key: its shape.
        what: what needs it.
        remedy: what to try.

    Raises:
        ShapeError: they have not.
    """
    if not _differ(query[-1], key[-1]):
        return
    swapped = query[-1] == value[-1] and value[-1] is not None
    raise ShapeError(
        f"{layer}: query has {query[-1]} features on axis {len(query) - 1} and key {key[-1]}; {what} needs as "
        "many in both; "
        + (
            f"the value has {value[-1]}: are value and key exchanged? {_ORDER}"
            if swapped
            else remedy
        )
    )


def check_rate(dropout: Any) -> float:
    """A rate of dropout.

    Raises:
        InputError: no number from 0 to below 1.
    """
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(
            f"dropout is {dropout!r}; expected a probability of at least 0 and below 1"
        )
    return float(dropout)


def check_size(name: str, value: Any, *, optional: bool = True) -> None:
    """Check a number of features, heads or positions.

    Raises:
        InputError: no whole number of at least 1.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least 1")


def _differ(first: int | None, second: int | None) -> bool:
    return first is not None and second is not None and first != second


def check_heads(layer: str, query: Any, value: Any, key: Any) -> None:
    """Check the shapes of a multi-head layer: a time axis in each, one batch, a value for each key.

    Raises:
        ShapeError: one of them does not fit.
    """
    query, value = tuple(query), tuple(value)
    key = value if key is None else tuple(key)
    for name, shape in (("query", query), ("value", value), ("key", key)):
        if len(shape) < 3:
            raise ShapeError(
                f"{layer}: {name} has shape {shape}; expected (batch, time, features)"
                + (
                    f"; for one step give it a time axis: {name}[:, None]"
                    if len(shape) == 2
                    else ""
                )
            )
        if _differ(query[0], shape[0]):
            raise ShapeError(
                f"{layer}: query has batch size {query[0]} on axis 0 and {name} {shape[0]}; expected as many"
            )
    if len(value) != len(key) or any(map(_differ, value[1:-1], key[1:-1])):
        raise ShapeError(
            f"{layer}: all axes of value and key, except the last one, must be equal: one value for each key "
            f"({_ORDER}: query {query}, value {value}, key {key})"
        )
