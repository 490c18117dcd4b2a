"""`Attention` and `AdditiveAttention`: Keras's layers of these names, with every score."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, get_args

import keras

from regard.attention import scores
from regard.attention.scores import Score
from regard.errors import InputError, SettingsError, ShapeError, nearest
from regard.keras.backend import ops
from regard.keras.checks import check_size, check_widths
from regard.keras.list_attention import ListAttention
from regard.keras.score_config import score_from_config, score_to_config, with_tensors

__all__ = ["AdditiveAttention", "Attention", "ScoreMode"]

ScoreMode: TypeAlias = Literal[
    "dot", "scaled_dot", "general", "cosine", "location", "additive", "concat"
]
"""Scores by name."""

_SCALED = ("dot", "scaled_dot", "cosine", "concat")


@keras.saving.register_keras_serializable(package="regard")
class Attention(ListAttention):
    r"""Attention with any score; without arguments, `keras.layers.Attention`.

    .. math:: \alpha = \mathrm{softmax}(\mathrm{score}(q, k)), \quad c = \sum_j \alpha_j v_j

    ============== ================================= ==================================================
    `score_mode`   score                             weights
    ============== ================================= ==================================================
    `"dot"`        `q . k`                           none (Luong, Pham and Manning 2015)
    `"scaled_dot"` `q . k / sqrt(features)`          none (Vaswani et al. 2017)
    `"general"`    `q^T W k`                         `W`; query and key may differ in width
    `"cosine"`     `q . k / (|q| |k|)`               none (Graves, Wayne and Danihelka 2014)
    `"location"`   `(W q)_j`                         `W`, one row for each position of the key
    `"additive"`   `v . tanh(W q + U k)`             `W`, `U`, `v` (Bahdanau et al. 2015); Luong's concat
                                                     `v . tanh(W [q; k])`, its matrix cut in two
    `"concat"`     `c sum(tanh(q + k))`              the number `c`: what Keras calls concat
    ============== ================================= ==================================================

    Args:
        use_scale: multiply the score by a learned number (with `"concat"`, `q + k`).
        score_mode: a name of the table, or an object of `regard.scores`, whose arrays are constants; on the
            torch and JAX backends also a score of your own.
        dropout: fraction of the weights that are left out of the average while training.
        seed: of the dropout.
        kwargs: `name`, `dtype`, `trainable`, as in every Keras layer.

    Raises:
        SettingsError: a score that does not exist, or has no scale.
        InputError: an impossible rate of dropout.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: ScoreMode | Score = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        if isinstance(score_mode, dict):
            score_mode = score_from_config(score_mode)
        if not isinstance(score_mode, Score) and score_mode not in get_args(ScoreMode):
            raise SettingsError(
                f"Invalid value for argument score_mode. Got {score_mode!r}; "
                f"{nearest(str(score_mode), get_args(ScoreMode))}, or an object such as "
                "regard.scores.ScaledDot()"
            )
        if use_scale and score_mode not in _SCALED:
            raise SettingsError(
                f"use_scale=True with score_mode={score_mode!r}, which has weights of its own; expected one of "
                f"{', '.join(_SCALED)}"
            )
        self.use_scale: bool = bool(use_scale)
        self.score_mode: ScoreMode | Score = score_mode

    def make_weights(self, query: Any, value: Any, key: Any) -> None:
        """Create the weights of the score, as Keras's layer names them where it has them."""
        self.scale = self.concat_score_weight = None
        mode, name = self.score_mode, type(self).__name__
        if mode in ("dot", "scaled_dot", "cosine", "concat"):
            check_widths(
                name,
                query,
                value,
                key,
                f"score_mode={mode!r}",
                "try score_mode='general' or 'additive'",
            )
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        widths = query[-1], key[-1]
        if mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )
        elif mode == "general":
            self.kernel = self.add_weight(name="kernel", shape=widths)
        elif mode == "location":
            if key[-2] is None:
                raise ShapeError(
                    f"{name}: score_mode='location' has weights for each position, and the length of the key, "
                    f"axis {len(key) - 2}, is not known; give it, as in Input((20, features))"
                )
            self.kernel = self.add_weight(name="kernel", shape=(key[-2], query[-1]))
        elif mode == "additive":
            units = query[-1]
            self.query_kernel = self.add_weight(name="query_kernel", shape=(widths[0], units))
            self.key_kernel = self.add_weight(name="key_kernel", shape=(widths[1], units))
            self.vector = self.add_weight(name="vector", shape=(units,))

    def score(self, query: Any, key: Any) -> tuple[Score, Any, Any]:
        """The score with its weights, and query and key as it takes them."""
        tensor = ops.convert_to_tensor
        mode, features = self.score_mode, query.shape[-1]
        scale = None if self.scale is None else tensor(self.scale)
        if isinstance(mode, Score):
            return with_tensors(mode), query, key
        match mode:
            case "dot":
                return scores.Dot() if scale is None else scores.ScaledDot(scale), query, key
            case "scaled_dot":
                return scores.ScaledDot(scale and scale / math.sqrt(features)), query, key
            case "general":
                return scores.General(tensor(self.kernel)), query, key
            case "cosine":
                return scores.Cosine(1.0 if scale is None else scale), query, key
            case "location":
                return scores.Location(tensor(self.kernel)), query, key
            case "additive":
                kernels = tensor(self.query_kernel), tensor(self.key_kernel)
                return scores.Additive(tensor(self.vector), *kernels), query, key
            case "concat":
                both = (query, key) if scale is None else (query * scale, key * scale)
                ones = ops.ones((features,), dtype=query.dtype)
                return scores.Additive(ones * tensor(self.concat_score_weight)), *both

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again; a score object as its class and numbers."""
        mode = self.score_mode
        found = score_to_config(mode) if isinstance(mode, Score) else mode
        return {**super().get_config(), "use_scale": self.use_scale, "score_mode": found}


@keras.saving.register_keras_serializable(package="regard")
class AdditiveAttention(ListAttention):
    r"""Additive attention (Bahdanau, Cho and Bengio 2015), with its projections.

    .. math:: \alpha = \mathrm{softmax}(v^\top \tanh(W q + U k)), \quad c = \sum_j \alpha_j v_j

    `units` is the width of `W q` and `U k`, which the layer learns along with `v`. Without it the layer is
    `keras.layers.AdditiveAttention`, `v . tanh(q + k)`: the projections are left to you, and query and key
    must be of one width.

    Args:
        use_scale: learn `v`; without it `v` is all ones.
        dropout: fraction of the weights that are left out of the average while training.
        units: features of the sum inside `tanh`; `None` for no projections, as in Keras.
        seed: of the dropout.
        kwargs: `name`, `dtype`, `trainable`, as in every Keras layer.

    Raises:
        InputError: units that are no whole number, an impossible rate of dropout.
    """

    def __init__(
        self,
        use_scale: bool = True,
        dropout: float = 0.0,
        *,
        units: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        if not isinstance(use_scale, bool):
            raise InputError(
                f"use_scale is {use_scale!r}; expected True or False (for the width of the projections: "
                f"AdditiveAttention(units={use_scale!r}))"
            )
        check_size("units", units)
        self.use_scale: bool = use_scale
        self.units: int | None = units

    def make_weights(self, query: Any, value: Any, key: Any) -> None:
        """Create the projections, if there are any, and `v`."""
        self.scale = None
        if self.units is None:
            check_widths(
                type(self).__name__,
                query,
                value,
                key,
                "a score without projections",
                "try units=64, say",
            )
        else:
            self.query_kernel = self.add_weight(
                name="query_kernel", shape=(query[-1], self.units), initializer="glorot_uniform"
            )
            self.key_kernel = self.add_weight(
                name="key_kernel", shape=(key[-1], self.units), initializer="glorot_uniform"
            )
        if self.use_scale:
            self.scale = self.add_weight(
                name="scale", shape=[self.units or query[-1]], initializer="glorot_uniform"
            )

    def score(self, query: Any, key: Any) -> tuple[Score, Any, Any]:
        """`v . tanh(W q + U k)`, and query and key as they are."""
        tensor = ops.convert_to_tensor
        if self.scale is None:
            vector = ops.ones((self.units or query.shape[-1],), dtype=query.dtype)
        else:
            vector = tensor(self.scale)
        if self.units is None:
            return scores.Additive(vector), query, key
        kernels = tensor(self.query_kernel), tensor(self.key_kernel)
        return scores.Additive(vector, *kernels), query, key

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again."""
        return {**super().get_config(), "use_scale": self.use_scale, "units": self.units}
