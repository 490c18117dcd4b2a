"""Calls of the models inside a model of `transformers`, reported to what it is watched by."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from regard.integrations.watched import Watched

__all__ = ["follow_forward_passes", "in_backward"]


def follow_forward_passes(root: nn.Module, seen: Watched, undo: contextlib.ExitStack) -> None:
    """Report the calls of the models inside a model."""
    for part in root.modules():
        if isinstance(part, PreTrainedModel):
            own = vars(part).get("forward")
            # Around `forward` itself, since some callers leave out `__call__` and its hooks.
            vars(part)["forward"] = _followed(part, part.forward, seen)
            undo.callback(_restore_forward, part, own)


def _restore_forward(part: PreTrainedModel, own: Any) -> None:
    if own is None:
        del vars(part)["forward"]
    else:
        vars(part)["forward"] = own


def _followed(
    part: PreTrainedModel, forward: Callable[..., Any], seen: Watched
) -> Callable[..., Any]:
    """Make the `forward` of a model report its calls."""

    @wraps(forward)
    def followed(*args: Any, **inputs: Any) -> Any:
        if in_backward():
            return forward(*args, **inputs)
        given = [*args, *inputs.values()]
        cache = next((value for value in given if isinstance(value, Cache)), None)
        sources = inputs.get("encoder_outputs")
        with seen.running(part, cache=cache, sources=_tensors(sources)) as run:
            wanted = inputs.get(
                "output_attentions", getattr(part.config, "output_attentions", False)
            )
            run.wants_weights |= bool(wanted)
            output = forward(*args, **inputs)
            run.end(_caches(output), list(_tensors(output)[:1]))
        return output

    return followed


def in_backward() -> bool:
    """Return whether autograd runs on this thread, which computes a checkpointed layer once more."""
    return torch._C._current_graph_task_id() != -1


def _tensors(output: Any) -> tuple[Tensor, ...]:
    """Tensors of a model's output, of a tuple, or the tensor itself."""
    if isinstance(output, Tensor):
        return (output,)
    values = list(output.values()) if isinstance(output, dict) else output
    return (
        tuple(v for v in values if isinstance(v, Tensor))
        if isinstance(values, list | tuple)
        else ()
    )


def _caches(output: Any) -> list[Any]:
    values = list(output.values()) if isinstance(output, dict) else output
    return [v for v in values if isinstance(v, Cache)] if isinstance(values, list | tuple) else []
