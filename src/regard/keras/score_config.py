"""Score objects as plain data, for `get_config` and `.keras` files."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import keras
import numpy as np

from regard.attention import scores
from regard.attention.scores import Score
from regard.errors import InputError
from regard.keras.backend import ops

__all__ = ["score_from_config", "score_to_config", "with_tensors"]

_CLASSES = {
    kind.__name__: kind
    for kind in (
        scores.Additive,
        scores.Concat,
        scores.Cosine,
        scores.Dot,
        scores.General,
        scores.Location,
        scores.ScaledDot,
    )
}


def score_to_config(score: Score) -> dict[str, Any]:
    """The class and the numbers of a score.

    Raises:
        InputError: a score of one's own that is not registered with Keras.
    """
    kind = type(score)
    if type(score) is scores.Capped:
        return {"score": kind.__name__, "of": score_to_config(score.score), "cap": score.cap}
    if _CLASSES.get(kind.__name__) is kind and is_dataclass(score):
        values = {field.name: getattr(score, field.name) for field in fields(score)}
        return {"score": kind.__name__, **{name: _plain(value) for name, value in values.items()}}
    if not hasattr(score, "get_config") or not keras.saving.get_registered_name(kind).count(">"):
        raise InputError(
            f"{kind.__name__} cannot be written into a config: give the class a get_config() and decorate it "
            "with @keras.saving.register_keras_serializable()"
        )
    made: Any = keras.saving.serialize_keras_object(score)
    found: dict[str, Any] = made
    return found


def score_from_config(config: dict[str, Any]) -> Score:
    """The score that `score_to_config` wrote.

    Raises:
        InputError: a score that does not exist.
    """
    if "score" not in config:
        found: Score = keras.saving.deserialize_keras_object(config)
        return found
    values = dict(config)
    name = values.pop("score")
    if name == scores.Capped.__name__:
        return scores.Capped(score_from_config(values["of"]), values["cap"])
    if name not in _CLASSES:
        raise InputError(f"score_mode names {name!r}; known: {', '.join((*_CLASSES, 'Capped'))}")
    made: Score = _CLASSES[name](**{key: _array(value) for key, value in values.items()})
    return made


def with_tensors(score: Score) -> Score:
    """A score of `regard.scores` with its arrays as tensors of the backend; another as it is."""
    if type(score) is scores.Capped:
        return replace(score, score=with_tensors(score.score))
    if _CLASSES.get(type(score).__name__) is not type(score) or not is_dataclass(score):
        return score
    arrays = {
        field.name: ops.convert_to_tensor(value)
        for field in fields(score)
        if (value := getattr(score, field.name)) is not None and not isinstance(value, int | float)
    }
    made: Any = replace(score, **arrays)
    found: Score = made
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    array = np.asarray(ops.convert_to_numpy(value))
    return array.tolist() if array.ndim else float(array)


def _array(value: Any) -> Any:
    return np.asarray(value, np.float32) if isinstance(value, list) else value
