"""`MultiHeadAttention` and `GroupedQueryAttention`: Keras's layers, computed and shown as everything here.

Constructor, weights and configuration are those of Keras's own classes, so that files of weights fit both. What
is between the projections is ours: the kernels of `regard.attend`, and its contracts about masks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import keras

from regard.attention.scores import ScaledDot
from regard.errors import InputError
from regard.keras.allowed import Allowed
from regard.keras.backend import mask_of, ops, set_mask
from regard.keras.checks import check_heads
from regard.keras.computing import Attended, attention
from regard.keras.list_attention import refuse_symbolic_map

__all__ = ["GroupedQueryAttention", "MultiHeadAttention"]


class _Masks(NamedTuple):
    """Masks of one call, as Keras passes them on."""

    query: Any
    value: Any
    key: Any
    attention: Any
    causal: bool


@keras.saving.register_keras_serializable(package="regard")
class MultiHeadAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]  # Keras has no types
    r"""Multi-head attention (Vaswani et al. 2017), with the arguments of `keras.layers.MultiHeadAttention`.

    .. math:: \mathrm{head}_i = \mathrm{softmax}(Q W_i^Q (K W_i^K)^\top / \sqrt{d}) V W_i^V, \quad
              \mathrm{output} = [\mathrm{head}_1; \dots; \mathrm{head}_h] W^O

    Constructor, weights and call are Keras's; see there. A query that may attend to nothing gets zeros from
    every head, where Keras's gives the mean of all values, masked ones too, unless its scores are asked for.
    """

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create the projections."""
        check_heads(type(self).__name__, query_shape, value_shape, key_shape)
        super().build(query_shape, value_shape, key_shape)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Attend.

        Args:
            query: `(batch, T, features)`, or with more axes between, of which `attention_axes` attend.
            value: `(batch, S, features)`.
            key: `(batch, S, features)`; the value unless given.
            query_mask: `(batch, T)` Booleans; Keras passes it on by itself, and so the next two.
            value_mask: `(batch, S)` Booleans.
            key_mask: `(batch, S)` Booleans.
            attention_mask: Booleans that broadcast to `(batch, heads, T, S)`, or `(batch, T, S)`; `True` =
                may attend.
            return_attention_scores: return the weights as well, `(batch, heads, T, S)`, before dropout.
            training: whether weights are dropped out.
            use_causal_mask: query `i` attends to keys `j <= i`, counted from the first.
            return_attention_map: return their `AttentionMap` as well; not while a model is built or inside a
                compiled TensorFlow function.

        Returns:
            The output, `(batch, T, features)`, or a tuple of it and what was requested, scores before map.
        """
        given = _Masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        return _call(
            self,
            (query, value, key),
            given,
            axes=tuple(self._attention_axes or ()),
            dropout=self._dropout if training else 0.0,
            window=getattr(self, "_sliding_window", None),
            gated=getattr(self, "_use_gate", False),
            requested=(return_attention_scores, return_attention_map),
        )

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Shapes and types of what `call` returns."""
        refuse_symbolic_map(return_attention_map)
        keys = value if key is None else key
        shape = self.compute_output_shape(query.shape, value.shape, keys.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        rank = len(query.shape)
        axes = self._attention_axes or range(1, rank - 1)
        axes = [axis % rank for axis in axes]
        free = [query.shape[axis] for axis in range(rank - 1) if axis not in axes]
        lengths = [x.shape[axis] for x in (query, keys) for axis in axes]
        return output, keras.KerasTensor(
            (*free, self.num_heads, *lengths), dtype=self.compute_dtype
        )


@keras.saving.register_keras_serializable(package="regard")
class GroupedQueryAttention(keras.layers.GroupQueryAttention):  # type: ignore[misc]  # Keras has no types
    """Grouped-query attention (Ainslie et al. 2023), as `keras.layers.GroupQueryAttention`.

    Several heads of the query share one head of key and value, which is not copied for them. Constructor,
    weights and call are Keras's; a query that may attend to nothing gets zeros from every head.
    """

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create the projections."""
        check_heads(type(self).__name__, query_shape, value_shape, key_shape)
        super().build(query_shape, value_shape, key_shape)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Attend, with the arguments and results of `MultiHeadAttention.call`."""
        given = _Masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        return _call(
            self,
            (query, value, key),
            given,
            axes=(1,),
            dropout=self.dropout if training else 0.0,
            window=getattr(self, "sliding_window", None),
            gated=getattr(self, "use_gate", False),
            requested=(return_attention_scores, return_attention_map),
        )

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Shapes and types of what `call` returns."""
        refuse_symbolic_map(return_attention_map)
        keys = value if key is None else key
        shape = self.compute_output_shape(query.shape, value.shape, keys.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (query.shape[0], self.num_query_heads, query.shape[1], keys.shape[1])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)


def _call(
    layer: Any,
    inputs: tuple[Any, Any, Any],
    given: _Masks,
    *,
    axes: tuple[int, ...],
    dropout: float,
    window: int | None,
    gated: bool,
    requested: tuple[bool, bool],
) -> Any:
    """Project, attend, and project the result; for both layers."""
    query, value, key = inputs
    key = value if key is None else key
    with _without_masks(query, value, key):
        gate = layer._gate_dense(query) if gated else None
        projected = layer._query_dense(query), layer._key_dense(key), layer._value_dense(value)
    found, attended = _attend(
        projected,
        axes,
        given,
        window=window,
        dropout=dropout,
        seeds=layer._dropout_layer.seed_generator if dropout else None,
    )
    output = layer._output_dense(attended if gate is None else attended * gate)
    if given.query is not None:
        set_mask(output, given.query)
    scores = [found.scores(layer.compute_dtype)] if requested[0] else []
    maps = [found.map()] if requested[1] else []
    return (output, *scores, *maps) if scores or maps else output


def _attend(
    projected: tuple[Any, Any, Any],
    axes: tuple[int, ...],
    given: _Masks,
    *,
    window: int | None,
    **arguments: Any,
) -> tuple[Attended, Any]:
    """Attend along some axes of `(batch, ..., heads, features)`.

    Returns:
        The attention, and its output with the axes of the query.
    """
    query, key, value = projected
    rank = len(query.shape)
    free = [axis for axis in range(rank - 2) if axis not in axes]
    order = [*free, rank - 2, *axes, rank - 1]
    flat = [_flat(ops.transpose(x, order), len(free), len(axes)) for x in projected]
    if rank == 4:
        keys = _both(given.value, given.key)
        pairs = _expanded(given.attention, 4, 2)
        allowed = Allowed(keys, _booleans(given.query), pairs, given.causal, window)
        found = attention(*flat, score=ScaledDot(), allowed=allowed, **arguments)
        return found, ops.transpose(found.output, (0, 2, 1, 3))
    if len(axes) > 1 and (given.causal or window):
        raise InputError(
            f"use_causal_mask or sliding_window over {len(axes)} attention axes, which have no order; pass an "
            "attention_mask"
        )
    lengths = [ops.shape(x)[axis] for x in (query, key) for axis in axes]
    leading = [ops.shape(query)[axis] for axis in free]
    pairs = _pairs(given, rank - 1 + len(axes), len(axes), leading, lengths)
    allowed = Allowed(pairs=pairs, causal=given.causal, window=window)
    found = attention(*flat, score=ScaledDot(), allowed=allowed, **arguments)
    heads = query.shape[-2]
    output = ops.reshape(found.output, (*leading, heads, *lengths[: len(axes)], value.shape[-1]))
    back = [order.index(axis) for axis in range(rank)]
    whole = _OfSeveralAxes(found.output, found.weights, (*leading, heads, *lengths))
    return whole, ops.transpose(output, back)


class _OfSeveralAxes(Attended):
    """Attention whose weights have several axes for queries and keys; the map has them as one."""

    def scores(self, dtype: str) -> Any:
        """The weights, `(batch, ..., heads, *queries, *keys)`."""
        flat = Attended(self.output, self.weights).scores(dtype)
        return ops.reshape(flat, self.leading)


def _flat(x: Any, free: int, attending: int) -> Any:
    """`(*free, heads, *attending, features)` with one axis for all free ones, and one for all attending."""
    if free == attending == 1:
        return x
    shape = ops.shape(x)
    sizes = shape[:free], shape[free + 1 : free + 1 + attending]
    return ops.reshape(x, (-1, shape[free], _product(sizes[1]), shape[-1]))


def _product(sizes: Any) -> Any:
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        return prod(known)
    found = sizes[0]
    for size in sizes[1:]:
        found = found * size
    return found


def _pairs(given: _Masks, rank: int, attending: int, leading: list[Any], lengths: list[Any]) -> Any:
    """All masks of a call as one, for tensors with one axis for each kind; `None` without any."""
    marks = [(given.query, -1), (given.value, -2), (given.key, -2)]
    parts = [ops.expand_dims(_booleans(mask), axis) for mask, axis in marks if mask is not None]
    if given.attention is not None:
        parts.append(_booleans(given.attention))
    if not parts:
        return None
    pairs = _expanded(parts[0], rank, 2 * attending)
    for part in parts[1:]:
        pairs = ops.logical_and(pairs, _expanded(part, rank, 2 * attending))
    heads = pairs.shape[len(leading)]
    pairs = ops.broadcast_to(pairs, (*leading, heads, *lengths))
    sizes = _product(lengths[:attending]), _product(lengths[attending:])
    return ops.reshape(pairs, (-1, heads, *sizes))


def _expanded(mask: Any, rank: int, last: int) -> Any:
    """A mask with axes of 1 before its `last` axes, up to a number of axes, as Keras fills in."""
    if mask is None:
        return None
    mask = _booleans(mask)
    while len(mask.shape) < rank:
        mask = ops.expand_dims(mask, max(-last - 1, -len(mask.shape) - 1))
    return mask


def _booleans(mask: Any) -> Any:
    return None if mask is None else ops.cast(ops.convert_to_tensor(mask), "bool")


def _both(first: Any, second: Any) -> Any:
    first, second = _booleans(first), _booleans(second)
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)


@contextlib.contextmanager
def _without_masks(*tensors: Any) -> Iterator[None]:
    """Context in which tensors carry no mask, which the projections would warn that they destroy.

    Keras's own layer takes the masks away for good, so that a layer after it, such as the sum of a residual
    connection, misses them.
    """
    masks = [mask_of(x) for x in tensors]
    for x, mask in zip(tensors, masks, strict=True):
        if mask is not None:
            set_mask(x, None)
    try:
        yield
    finally:
        for x, mask in zip(tensors, masks, strict=True):
            if mask is not None:
                set_mask(x, mask)
