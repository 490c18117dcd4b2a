"""The attention of a whole Keras model as one record, for every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from regard.errors import InputError, ShapeError
from regard.integrations.captured import Keep
from regard.integrations.keras_models import attention_layers, watch_keras
from regard.integrations.layer_attention import LayerAttention
from regard.viewing import AttentionRecord, Tokens, Track
from regard.viewing.data.record import Kind

__all__ = ["Words", "record"]

Words: TypeAlias = Tokens | Sequence[str]
"""Tokens of one input."""


def record(
    model: Any,
    inputs: Any,
    tokens: Words | Mapping[str, Words],
    *,
    example: int = 0,
    title: str = "",
) -> AttentionRecord:
    """The attention of every layer of a Keras model for one text, ready to be shown and saved.

    The model is called once, `model(inputs)`. Each attention layer gives one map, by its name: Keras's own and
    those of `regard.keras`, pooling included.

    >>> import keras, numpy as np, regard
    >>> layers = [keras.layers.Embedding(9, 4, mask_zero=True), regard.keras.AttentionPooling(name="pool")]
    >>> model = keras.Sequential(layers)
    >>> regard.keras.record(model, np.array([[3, 1, 2, 0]]), ["a", "good", "film"])
    AttentionRecord('Sequential', 1 map: pool 1)

    Args:
        model: a built or unbuilt model or layer of Keras, on any backend.
        inputs: what the model is called on, a batch.
        tokens: the tokens of one example; of a model with several inputs a dictionary of them by the name of
            the input. Where there are fewer tokens than positions, the rest is padding at the end and is left
            out.
        example: index of the example in the batch.
        title: heading; the model's class unless given.

    Raises:
        InputError: a model without attention layers; inputs that are not named; no such example.
        ShapeError: more tokens than positions, or lengths of which it cannot be told whose they are.
    """
    layers = attention_layers(model)
    with watch_keras(model, keep=Keep(dense_limit=4096, pool=0, topk=0)) as seen:
        model(inputs)
    sides = _sides(tokens)
    sources = {path: _inputs_of(layer, model) for path, layer in layers.items()}
    named = {str(tensor.name) for tensor in getattr(model, "inputs", None) or ()}
    if len(sides) > 1 and named and set(sides) - named:
        raise InputError(
            f"tokens are named {', '.join(sides)}; expected names of the model's inputs: "
            f"{', '.join(sorted(named))}"
        )
    tracks = [
        track
        for path in seen.sites
        for track in _tracks(path, seen[path], sides, sources.get(path), example)
    ]
    used = {axis for track in tracks for axis in (track.queries, track.keys)}
    notes = [
        f"{track.name}: up to {missing:.0%} of a row's weight is on positions without a token, which are "
        "left out; does the layer get the mask of the padding?"
        for track in tracks
        if (missing := _missing(track)) > 0.001
    ]
    texts = {name: side for name, side in {**sides, "reader": _READER}.items() if name in used}
    return AttentionRecord(texts, tuple(tracks), title or type(model).__name__, notes=tuple(notes))


def _missing(track: Track) -> float:
    """The largest part of a row's weight that is not shown; 0 for rows without any weight."""
    sums = track.weights.sum(-1) if isinstance(track.weights, np.ndarray) else np.ones(1)
    return float(np.where(sums > 0, 1 - sums, 0.0).max())


_READER = Tokens.of(["reader"])
"""The one query of a pooled text."""


def _sides(tokens: Any) -> dict[str, Tokens]:
    """Tokens by the name of their input; `"text"` where there is only one."""
    if not isinstance(tokens, Mapping):
        tokens = {"text": tokens}
    sides = {}
    for name, words in tokens.items():
        if isinstance(words, str):
            raise InputError(
                f"tokens of {name!r} are one string; expected a list of tokens, one for each position, such as "
                f"{words.split()!r}"
            )
        sides[str(name)] = words if isinstance(words, Tokens) else Tokens.of(list(words))
    return sides


def _inputs_of(layer: Any, model: Any) -> tuple[str, str] | None:
    """Names of the inputs of a functional model that the queries and the keys of a layer come from.

    From each tensor the way back leads through the first argument of each layer: an LSTM's sequence, not its
    initial state. `None` where the model is no graph, or the layer is used twice.
    """
    nodes = getattr(layer, "_inbound_nodes", [])
    starts = {id(tensor): str(tensor.name) for tensor in getattr(model, "inputs", None) or ()}
    if len(nodes) != 1 or not starts:
        return None
    tensors = list(nodes[0].input_tensors)
    found = [_origin(tensor, starts) for tensor in (tensors[0], tensors[min(1, len(tensors) - 1)])]
    return (found[0], found[1]) if found[0] and found[1] else None


def _origin(tensor: Any, starts: Mapping[int, str]) -> str:
    """Name of the input that a tensor comes from; empty where none is reached."""
    while id(tensor) not in starts:
        history = getattr(tensor, "_keras_history", None)
        if history is None:
            return ""
        before = history.operation._inbound_nodes[history.node_index].input_tensors
        if not before:
            return ""
        tensor = before[0]
    return starts[id(tensor)]


def _tracks(
    path: str,
    calls: list[LayerAttention],
    sides: Mapping[str, Tokens],
    inputs: tuple[str, str] | None,
    example: int,
) -> list[Track]:
    """One track for each call of a layer."""
    tracks = []
    for number, layer in enumerate(calls):
        batch, _, queries, keys = layer.shape
        if not -batch <= example < batch:
            raise InputError(f"there is no example {example} in a batch of {batch}")
        rows, columns = inputs or ("", "")
        column = _side(path, "keys", keys, columns, sides)
        pooled = queries == 1 < keys and rows == columns
        row = "reader" if pooled else _side(path, "queries", queries, rows, sides)
        weights = layer.dense[example][:, : 1 if pooled else len(sides[row]), : len(sides[column])]
        kind: Kind = "pooling" if pooled else "self" if row == column else "cross"
        direction = "causal" if layer.causal else "both"
        tracks.append(Track(path, kind, row, column, weights, layer=number, direction=direction))
    return tracks


def _side(path: str, axis: str, length: int, name: str, sides: Mapping[str, Tokens]) -> str:
    """Name of the tokens along an axis of a layer.

    Raises:
        ShapeError: more tokens than positions; several texts that the axis may be.
    """
    chosen = next(iter(sides)) if len(sides) == 1 else name
    if chosen not in sides:
        fitting = [side for side, tokens in sides.items() if len(tokens) == length]
        if len(fitting) != 1:
            raise ShapeError(
                f"{path}: {length} {axis}, and it cannot be told whether they are "
                f"{' or '.join(sides)} ({', '.join(f'{len(t)} tokens' for t in sides.values())}); give each "
                "input as many tokens as it has positions, padding too, in distinct numbers"
            )
        chosen = fitting[0]
    if len(sides[chosen]) > length:
        raise ShapeError(
            f"{path}: {length} {axis}, but {chosen!r} has {len(sides[chosen])} tokens; expected one token for "
            "each position, or fewer where padding follows"
        )
    return chosen
