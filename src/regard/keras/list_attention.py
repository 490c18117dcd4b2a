"""Base of the layers that are called on `[query, value]` or `[query, value, key]`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import keras

from regard.attention.scores import Score
from regard.errors import InputError
from regard.keras.allowed import Allowed
from regard.keras.backend import ops
from regard.keras.checks import check_lengths, check_list, check_masks, check_rate
from regard.keras.computing import Attended, attention

__all__ = ["ListAttention", "refuse_symbolic_map"]


@keras.saving.register_keras_serializable(package="regard")
class ListAttention(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Attention over a list of tensors, with the arguments and results of `keras.layers.Attention`.

    A subclass says how well keys match queries; it may add to the scores and change the output.

    Args:
        dropout: fraction of the weights that are left out of the average while training.
        seed: of the dropout.
        kwargs: `name`, `dtype`, `trainable`, as in every Keras layer.
    """

    def __init__(self, *, dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.dropout: float = check_rate(dropout)
        self.seed: int | None = seed
        if self.dropout:
            self.seed_generator: Any = keras.random.SeedGenerator(seed=seed)

    @abstractmethod
    def make_weights(self, query: Any, value: Any, key: Any) -> None:
        """Create the weights of the score for tensors of these shapes."""

    @abstractmethod
    def score(self, query: Any, key: Any) -> tuple[Score, Any, Any]:
        """The score, and query and key as it takes them."""

    def near(self, query: Any, key: Any, allowed: Allowed) -> tuple[Allowed, Any]:
        """The pairs that may attend, of those that masks allow, and a bias of the scores or `None`."""
        return allowed, None

    def finish(self, context: Any, query: Any) -> Any:
        """The output, from the weighted sum of the values and the query."""
        return context

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        if input_shape and not isinstance(input_shape[0], list | tuple):
            check_list(type(self).__name__, keras.KerasTensor(tuple(input_shape)))
        shapes = [tuple(shape) for shape in check_list(type(self).__name__, input_shape)]
        check_lengths(type(self).__name__, *shapes)
        self.make_weights(*shapes)
        self.built = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        return_attention_map: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend.

        Args:
            inputs: `[query, value]` or `[query, value, key]`: `(batch, Tq, features)`, `(batch, Tv,
                values)`, `(batch, Tv, key_features)`. The key is the value unless given.
            mask: `[query_mask, value_mask]`, or those and `key_mask`: `(batch, T)` Booleans, `True` for
                real positions. Keras passes them on by itself, from `Embedding(mask_zero=True)`. The
                output is zero at padding queries; padding keys get a weight of exactly 0.
            training: whether weights are dropped out.
            return_attention_scores: return the weights as well, `(batch, Tq, Tv)`, before dropout.
            return_attention_map: return their `AttentionMap` as well; not while a model is built or
                inside a compiled TensorFlow function.
            use_causal_mask: query `i` attends to keys `j <= i`, counted from the first.

        Returns:
            The output, or a tuple of it and what was requested, scores before map.

        Raises:
            InputError: no list of two or three; masks that are no list.
            ShapeError: shapes that do not fit.
        """
        name = type(self).__name__
        query, value, key = check_list(name, inputs)
        check_lengths(name, *(tuple(x.shape) for x in (query, value, key)))
        query_mask, value_mask, key_mask = (_booleans(x) for x in check_masks(name, mask))
        keys = _both(value_mask, key_mask)
        allowed, bias = self.near(query, key, Allowed(keys=keys, causal=use_causal_mask))
        score, projected_query, projected_key = self.score(query, key)
        found = _flat_attention(
            projected_query,
            projected_key,
            value,
            score=score,
            allowed=allowed,
            bias=bias,
            dropout=self.dropout if training else 0.0,
            seeds=self.seed_generator if self.dropout else None,
        )
        output = self.finish(found.output, query)
        if query_mask is not None:
            output = ops.where(ops.expand_dims(query_mask, -1), output, 0)
        scores = [found.scores(self.compute_dtype)] if return_attention_scores else []
        maps = [found.map()] if return_attention_map else []
        return (output, *scores, *maps) if scores or maps else output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The query's mask, which is the output's."""
        check_list(type(self).__name__, inputs)
        query_mask = check_masks(type(self).__name__, mask)[0]
        return None if query_mask is None else ops.convert_to_tensor(query_mask)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """`(batch, Tq, values)`."""
        query, value, _ = check_list(type(self).__name__, input_shape)
        return (*query[:-1], value[-1])

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        return_attention_map: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Shapes and types of what `call` returns."""
        name = type(self).__name__
        refuse_symbolic_map(return_attention_map)
        tensors = check_list(name, inputs)
        shapes = [tuple(x.shape) for x in tensors]
        check_lengths(name, *shapes)
        check_masks(name, mask)
        output = keras.KerasTensor(self.compute_output_shape(shapes), dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (*shapes[0][:-1], shapes[2][-2])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again."""
        return {**super().get_config(), "dropout": self.dropout, "seed": self.seed}


def refuse_symbolic_map(requested: bool) -> None:
    """Refuse a map of a model that is being built: a map is no tensor.

    Raises:
        InputError: one was requested.
    """
    if requested:
        raise InputError(
            "return_attention_map=True on a symbolic tensor: a map is no tensor, so no layer can pass it "
            "on; ask return_attention_scores=True here, or regard.keras.record(model, inputs, tokens) of "
            "the finished model"
        )


def _booleans(mask: Any) -> Any:
    return None if mask is None else ops.cast(ops.convert_to_tensor(mask), "bool")


def _both(first: Any, second: Any) -> Any:
    if first is None or second is None or first is second:
        return second if first is None else first
    return ops.logical_and(first, second)


def _flat_attention(
    query: Any, key: Any, value: Any, allowed: Allowed, **arguments: Any
) -> Attended:
    """`attention` over the last two axes; all axes before them are one batch."""
    rank = len(query.shape)
    if rank == 3:
        return attention(query, key, value, allowed=allowed, **arguments)
    leading = tuple(ops.shape(query)[:-2])
    keys = allowed.keys
    if keys is not None:
        while len(keys.shape) < rank - 1:
            keys = ops.expand_dims(keys, 1)
        keys = ops.reshape(ops.broadcast_to(keys, (*leading, keys.shape[-1])), (-1, keys.shape[-1]))
    flat = [ops.reshape(x, (-1, *ops.shape(x)[-2:])) for x in (query, key, value)]
    found = attention(*flat, allowed=replace(allowed, keys=keys), **arguments)
    output = ops.reshape(found.output, (*leading, *ops.shape(found.output)[-2:]))
    return Attended(output, found.weights, leading)
