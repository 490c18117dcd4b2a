"""Luong attention, global and local, with the attentional vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import keras

from regard.attention import scores
from regard.attention.scores import Score
from regard.errors import InputError, SettingsError, nearest
from regard.keras.allowed import Allowed
from regard.keras.backend import ops
from regard.keras.checks import check_size, check_widths
from regard.keras.list_attention import ListAttention

__all__ = ["Local", "LuongAttention", "LuongScore"]

LuongScore: TypeAlias = Literal["dot", "general", "concat"]
"""The three scores of the paper."""

Local: TypeAlias = Literal["m", "p"]
"""Monotonic or predictive local attention."""


@keras.saving.register_keras_serializable(package="regard")
class LuongAttention(ListAttention):
    r"""Attention of Luong, Pham and Manning (2015), section 3: context and attentional vector.

    .. math:: a_t = \mathrm{softmax}(\mathrm{score}(s_t, h)), \quad c_t = \sum_j a_{tj} h_j, \quad
              \tilde s_t = \tanh(W_c [c_t; s_t])

    The output is the attentional vector :math:`\tilde s`, which predicts the next word. Called on `[query,
    value]`, the states of the decoder and those of the encoder.

    Local attention looks at the keys within `width` of a centre. With `local="m"` the centre of query `t` is
    key `t`; with `local="p"` it is predicted, :math:`p_t = S \, \mathrm{sigmoid}(v_p^\top \tanh(W_p s_t))`, and
    a Gaussian of standard deviation `width / 2` favours it. It differs from the paper in that rows of
    weights still sum to 1 (see `regard.positions.Gaussian`).

    Args:
        units: features of the attentional vector; as many as the query's unless given.
        score_mode: `"dot"`, `s . h`; `"general"`, `s^T W h`; `"concat"`, `v . tanh(W [s; h])`.
        local: `"m"`, `"p"`, or `None` for attention to all keys.
        width: `D`, keys each way, for local attention.
        dropout: fraction of the weights that are left out of the average while training.
        seed: of the dropout.
        kwargs: `name`, `dtype`, `trainable`, as in every Keras layer.

    Raises:
        SettingsError: another score or kind of local attention; local attention without a width.
        InputError: a size below 1, an impossible rate of dropout.
    """

    def __init__(
        self,
        units: int | None = None,
        score_mode: LuongScore = "general",
        local: Local | None = None,
        width: int | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        check_size("units", units)
        check_size("width", width)
        if score_mode not in get_args(LuongScore):
            raise SettingsError(
                f"score_mode is {score_mode!r}; {nearest(str(score_mode), get_args(LuongScore))}"
            )
        if local not in (None, *get_args(Local)):
            raise SettingsError(f"local is {local!r}; expected 'm', 'p' or None")
        if (local is None) != (width is None):
            raise SettingsError(
                f"local={local!r} with width={width!r}; expected both, as in local='p', width=10, or neither"
            )
        self.units: int | None = units
        self.score_mode: LuongScore = score_mode
        self.local: Local | None = local
        self.width: int | None = width

    def make_weights(self, query: Any, value: Any, key: Any) -> None:
        """Create the weights of the score, of the predicted centre and of the attentional vector."""
        name, width = type(self).__name__, query[-1]
        if self.score_mode == "dot":
            check_widths(name, query, value, key, "score_mode='dot'", "try score_mode='general'")
        elif self.score_mode == "general":
            self.kernel = self._matrix("kernel", width, key[-1])
        else:
            self.query_kernel = self._matrix("query_kernel", width, width)
            self.key_kernel = self._matrix("key_kernel", key[-1], width)
            self.vector = self.add_weight(
                name="vector", shape=(width,), initializer="glorot_uniform"
            )
        if self.local == "p":
            self.position_kernel = self._matrix("position_kernel", width, width)
            self.position_vector = self._matrix("position_vector", width, 1)
        self.output_kernel = self._matrix("output_kernel", value[-1] + width, self.units or width)

    def _matrix(self, name: str, rows: int, columns: int) -> Any:
        return self.add_weight(name=name, shape=(rows, columns), initializer="glorot_uniform")

    def score(self, query: Any, key: Any) -> tuple[Score, Any, Any]:
        """The score with its weights, and query and key as they are."""
        tensor = ops.convert_to_tensor
        match self.score_mode:
            case "dot":
                return scores.Dot(), query, key
            case "general":
                return scores.General(tensor(self.kernel)), query, key
            case "concat":
                kernels = tensor(self.query_kernel), tensor(self.key_kernel)
                return scores.Additive(tensor(self.vector), *kernels), query, key

    def near(self, query: Any, key: Any, allowed: Allowed) -> tuple[Allowed, Any]:
        """Keys within the width of each query's centre, and the Gaussian around a predicted centre."""
        if self.local is None:
            return allowed, None
        assert self.width is not None
        if len(query.shape) != 3:
            raise InputError(
                f"local attention takes (batch, time, features); got {tuple(query.shape)}"
            )
        queries, keys = ops.shape(query)[1], ops.shape(key)[1]
        position = ops.cast(ops.arange(keys, dtype="int32"), "float32")
        if self.local == "m":
            centre = ops.cast(ops.arange(queries, dtype="int32"), "float32")[None, :, None]
            return replace(allowed, pairs=ops.abs(position - centre) <= self.width), None
        share = ops.matmul(ops.tanh(ops.matmul(query, self.position_kernel)), self.position_vector)
        # bfloat16 has no integers beyond 256.
        centre = ops.sigmoid(ops.cast(share, "float32")) * self._lengths(keys, allowed)
        distance = position - centre
        pairs = ops.abs(ops.stop_gradient(distance)) <= self.width
        return replace(allowed, pairs=pairs), -ops.square(distance / (self.width / 2)) / 2

    @staticmethod
    def _lengths(keys: Any, allowed: Allowed) -> Any:
        """`S` of each example, `(batch or 1, 1, 1)`: the keys up to the last one that is real."""
        if allowed.keys is None:
            return ops.cast(keys, "float32")
        ends = ops.cast(ops.arange(1, keys + 1, dtype="int32"), "float32")
        real = ops.cast(allowed.keys, "float32")
        return ops.max(real * ends, axis=-1)[:, None, None]

    def finish(self, context: Any, query: Any) -> Any:
        """The attentional vector."""
        both = ops.concatenate([context, query], axis=-1)
        return ops.tanh(ops.matmul(both, self.output_kernel))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """`(batch, Tq, units)`."""
        query = input_shape[0]
        return (*query[:-1], self.units or query[-1])

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again."""
        own = {name: getattr(self, name) for name in ("units", "score_mode", "local", "width")}
        return {**super().get_config(), **own}
