"""Attention of Keras models, taken from the layers while the model runs, on every backend.

Each layer of Keras that can return its weights is called with `return_attention_scores=True` inside the
block; its caller gets the output alone, as before. So the weights are those that Keras itself gives, under the
names that Keras gives its layers.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from regard.attention import AttentionMap
from regard.attention.arrays import is_concrete, to_numpy
from regard.errors import InputError
from regard.integrations.captured import Keep
from regard.integrations.passes import CalledLayer, Pass
from regard.integrations.registry import registered
from regard.integrations.seen_pass import SeenPass
from regard.integrations.sites import Site
from regard.integrations.watched import Watched

__all__ = ["attention_layers", "is_keras_model", "watch_keras"]

_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)


def is_keras_model(model: Any) -> bool:
    """Return whether an object is a layer or model of Keras 3; Keras is not imported for the answer."""
    keras = sys.modules.get("keras")
    layer = getattr(getattr(keras, "layers", None), "Layer", None)
    return isinstance(layer, type) and isinstance(model, layer)


def attention_layers(model: Any) -> dict[str, Any]:
    """Layers of a Keras model that can return their weights, by path: names of the layers around, with `/`.

    Raises:
        InputError: there is none, or a layer that is called attention cannot.
    """
    found: dict[str, Any] = {}
    unable = []
    for path, layer in _nested(model, ()):
        if "return_attention_scores" in inspect.signature(layer.call).parameters:
            found.setdefault(path, layer)
        elif _ATTENTION.search(type(layer).__name__) and not any(
            "return_attention_scores" in inspect.signature(inner.call).parameters
            for _, inner in _nested(layer, ())
        ):
            unable.append(f"{path} ({type(layer).__name__})")
    remedy = (
        "give its call an argument return_attention_scores, with which it returns (output, weights); on the "
        "torch backend also way='dispatcher', on JAX regard.watch_jax(lambda x: model(x))"
    )
    if unable:
        raise InputError(
            f"{type(model).__name__}: {', '.join(unable)} cannot return weights; {remedy}"
        )
    if not found:
        raise InputError(
            f"{type(model).__name__} has no layer that can return attention weights; for a layer of your own, "
            f"{remedy}"
        )
    return found


def _nested(layer: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """A layer and all layers inside it, those of Keras's own attention left closed."""
    yield "/".join(path) or layer.name, layer
    if "return_attention_scores" in inspect.signature(layer.call).parameters:
        return
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield from _nested(inner, (*path, inner.name))


class _Parts(nn.Module):
    """Stands for a Keras model where modules of torch are counted.

    Args:
        parts: the model and its layers of attention.
    """

    def __init__(self, parts: list[Any]) -> None:
        super().__init__()
        self._parts = tuple(parts)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """The model and its layers of attention."""
        yield from self._parts


class _KerasWatched(Watched):
    """Attention of a Keras model: each layer is a site of its own, by the name that Keras gives it.

    Args:
        model: the model.
        layers: its layers of attention by path.
        keep: statistics to keep.
    """

    def __init__(self, model: Any, layers: dict[str, Any], keep: Keep) -> None:
        super().__init__(nn.Module(), keep)
        self._model = type(model).__name__
        self._module_names = {id(layer): path for path, layer in layers.items()}

    def _seen(self, calls: Pass) -> SeenPass:
        return _KerasPass(
            calls, model=self._model, modules={}, keep=self.keep, is_encoder_decoder=False
        )


class _KerasPass(SeenPass):
    """Attention of one call of a Keras model, by layer."""

    def _by_site(self) -> dict[Site, list[CalledLayer]]:
        by_site: dict[Site, list[CalledLayer]] = {}
        for layer in self._calls.layers.values():
            if layer.calls:
                by_site.setdefault(layer.module, []).append(layer)
        return by_site


@contextlib.contextmanager
def watch_keras(model: Any, *, keep: Keep | None = None) -> Iterator[Watched]:
    """Capture the attention of a Keras model while it runs inside the block; see `regard.watch`.

    Raises:
        InputError: the model has no layer that can return its weights, is being watched already, or ran only
            inside a compiled function.
        RegardError: some query has NaN weights.
    """
    layers = attention_layers(model)
    seen = _KerasWatched(model, layers, keep or Keep())
    with contextlib.ExitStack() as undo:
        undo.enter_context(
            registered(
                _Parts(list({id(part): part for part in (model, *layers.values())}.values())), seen
            )
        )
        for path, layer in layers.items():
            undo.enter_context(_replaced(layer, _observed(layer, path, seen)))
        if all(layer is not model for layer in layers.values()):
            undo.enter_context(_replaced(model, _running(model, seen)))
        yield seen
        seen.finish()


@contextlib.contextmanager
def _replaced(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Context in which a layer has another `call`; past Keras's own bookkeeping of attributes."""
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _running(model: Any, seen: Watched) -> Callable[..., Any]:
    original = model.call

    def call(*args: Any, **kwargs: Any) -> Any:
        with seen.running(nn.Module()):
            return original(*args, **kwargs)

    return call


def _observed(layer: Any, path: str, seen: Watched) -> Callable[..., Any]:
    """The `call` of a layer, which also reports its weights."""
    original = layer.call
    signature = inspect.signature(original)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        wanted = bool(given.arguments.get("return_attention_scores", False))
        given.arguments["return_attention_scores"] = True
        output, scores, *rest = original(*given.args, **given.kwargs)
        if _is_compiled(scores):
            raise InputError(
                f"{path} ({type(layer).__name__}) runs inside a compiled function, where weights hold no "
                "numbers yet; call the model itself, model(x), instead of predict or fit"
            )
        weights = _weights(path, output, scores)
        causal = bool(given.arguments.get("use_causal_mask", False))
        seen.add_layer(layer, lambda: (weights, 0, 0), causal=causal)
        results = [output, *([scores] if wanted else []), *rest]
        return tuple(results) if len(results) > 1 else output

    return call


def _is_compiled(scores: Any) -> bool:
    if "tensorflow" in sys.modules and type(scores).__module__.startswith("tensorflow"):
        return not hasattr(scores, "numpy")
    return not is_concrete(scores)


def _weights(path: str, output: Any, scores: Any) -> AttentionMap:
    """The map `(batch, heads, queries, keys)` of what a layer returned, as tensors of torch."""
    dense = scores if isinstance(scores, torch.Tensor) else torch.from_numpy(_as_float32(scores))
    if len(output.shape) == 2:  # one vector for a text: (batch, heads, keys), no queries
        dense = dense.unsqueeze(2)
    elif dense.ndim == 3:
        dense = dense.unsqueeze(1)
    if dense.ndim != 4:
        raise InputError(
            f"{path} has weights of shape {tuple(dense.shape)}; expected (batch, heads, queries, keys): "
            "attention over several axes cannot be shown"
        )
    return AttentionMap.from_dense(dense.detach())


def _as_float32(scores: Any) -> Any:
    return np.array(to_numpy(scores), dtype=np.float32)
