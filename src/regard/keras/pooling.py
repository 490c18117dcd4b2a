"""Attention pooling: one vector for a sequence, by scores that need no query."""

from __future__ import annotations

from typing import Any

import keras

from regard.errors import ShapeError
from regard.keras.backend import ops
from regard.keras.checks import check_rate, check_size
from regard.keras.computing import map_of, masked_softmax
from regard.keras.list_attention import refuse_symbolic_map

__all__ = ["AttentionPooling"]


@keras.saving.register_keras_serializable(package="regard")
class AttentionPooling(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    r"""A weighted mean of a sequence, with weights computed from the sequence itself.

    .. math::
        u_t = \tanh(W h_t + b) \qquad
        \alpha = \mathrm{softmax}_t(v^\top u_t) \qquad
        s = \sum_t \alpha_t h_t

    The layer for classifying a text: it stands between a recurrent layer with `return_sequences=True` and a
    `Dense`. :math:`v` is the context vector of hierarchical attention (Yang et al. 2016); `units=1` is
    feed-forward attention (Raffel and Ellis 2016). Several heads share `W` and `b`, each has its own `v`,
    and their means are concatenated (Lin et al. 2017).

    Padding, which Keras passes on from `Embedding(mask_zero=True)`, gets a weight of exactly 0; an empty text
    gives zeros. The output has no time axis, so no mask is passed on.

    Args:
        units: features of `u`; as many as the sequence has unless given.
        num_heads: number of heads.
        dropout: fraction of the weights that are left out of the mean while training.
        seed: of the dropout.
        kwargs: `name`, `dtype`, `trainable`, as in every Keras layer.

    Raises:
        InputError: a size below 1, an impossible rate of dropout.
    """

    def __init__(
        self,
        units: int | None = None,
        num_heads: int = 1,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_size("units", units)
        check_size("num_heads", num_heads, optional=False)
        self.supports_masking = True
        self.units: int | None = units
        self.num_heads: int = num_heads
        self.dropout: float = check_rate(dropout)
        self.seed: int | None = seed
        if self.dropout:
            self.seed_generator: Any = keras.random.SeedGenerator(seed=seed)

    def build(self, input_shape: Any) -> None:
        """Create `W`, `b` and one `v` for each head."""
        _check_sequence(input_shape)
        width = input_shape[-1]
        units = self.units or width
        self.kernel = self.add_weight(
            name="kernel", shape=(width, units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self.context = self.add_weight(
            name="context",
            shape=(units, self.num_heads),
            initializer=keras.initializers.RandomNormal(stddev=units**-0.5),
        )
        self.built = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Pool each sequence of a batch.

        Args:
            inputs: `(batch, time, features)`.
            mask: `(batch, time)` Booleans, `True` for real positions.
            training: whether weights are dropped out.
            return_attention_scores: return the weights as well, `(batch, num_heads, time)`, before dropout.
            return_attention_map: return their `AttentionMap` as well, `(batch, num_heads, 1, time)`; not
                while a model is built or inside a compiled TensorFlow function.

        Returns:
            The mean, `(batch, num_heads * features)`, or a tuple of it and what was asked.

        Raises:
            ShapeError: no sequences, or a mask that does not fit them.
        """
        _check_sequence(inputs.shape)
        allowed = None
        if mask is not None:
            mask = ops.cast(ops.convert_to_tensor(mask), "bool")
            _check_mask(tuple(mask.shape), tuple(inputs.shape))
            # NaN in the padding would come back through the gradient of W.
            inputs = ops.where(ops.expand_dims(mask, -1), inputs, ops.zeros((), inputs.dtype))
            allowed = ops.expand_dims(mask, 1)
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + self.bias)
        scores = ops.swapaxes(ops.matmul(hidden, self.context), -2, -1)
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        weights = masked_softmax(ops.cast(scores, wide), allowed)
        kept = weights
        if self.dropout and training:
            kept = keras.random.dropout(weights, self.dropout, seed=self.seed_generator)
        pooled = ops.matmul(ops.cast(kept, inputs.dtype), inputs)
        pooled = ops.reshape(pooled, (-1, self.num_heads * inputs.shape[-1]))
        found = [ops.cast(weights, self.compute_dtype)] if return_attention_scores else []
        if return_attention_map:
            found.append(map_of(ops.expand_dims(weights, 2)))
        return (pooled, *found) if found else pooled

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """No mask: the output has no time axis."""
        return None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """`(batch, num_heads * features)`."""
        return (input_shape[0], self.num_heads * input_shape[-1])

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        return_attention_map: bool = False,
    ) -> Any:
        """Shapes and types of what `call` returns."""
        refuse_symbolic_map(return_attention_map)
        _check_sequence(inputs.shape)
        output = keras.KerasTensor(
            self.compute_output_shape(inputs.shape), dtype=self.compute_dtype
        )
        if not return_attention_scores:
            return output
        batch, time, _ = inputs.shape
        return output, keras.KerasTensor((batch, self.num_heads, time), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again."""
        own = {name: getattr(self, name) for name in ("units", "num_heads", "dropout", "seed")}
        return {**super().get_config(), **own}


def _check_sequence(shape: Any) -> None:
    if len(shape) != 3:
        raise ShapeError(
            f"AttentionPooling: input has shape {tuple(shape)}; expected (batch, time, features)"
            + ("; does the layer before it have return_sequences=True?" if len(shape) == 2 else "")
        )


def _check_mask(mask: tuple[int | None, ...], shape: tuple[int | None, ...]) -> None:
    fits = len(mask) == 2 and all(
        n is None or m is None or n in (m, 1) for n, m in zip(mask, shape, strict=False)
    )
    if not fits or ((mask[1], shape[1]).count(None) == 0 and mask[1] != shape[1]):
        raise ShapeError(
            f"AttentionPooling: mask has shape {mask}; expected {shape[:2]}, (batch, time)"
        )
