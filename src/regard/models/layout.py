"""Names, shapes and types of a model's tensors, found without memory for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regard.errors import SettingsError
from regard.models import build
from regard.models.settings import ModelSettings

__all__ = ["state_layout"]

_CALLS_PER_TENSOR = 64
"""Calls of torch that the making of one tensor takes at most: counted, between 3 and 20 for every kind."""

_FIXED_CALLS = 4096
"""Calls that any model may take."""


def state_layout(settings: ModelSettings, *, tensors: int) -> dict[str, Tensor]:
    """State dict of a model with these settings, as tensors of the meta device.

    Args:
        settings: of the model. A model of a billion layers is given up soon.
        tensors: number of tensors that it should have.

    Raises:
        SettingsError: it would have many more tensors, or larger ones than there can be.
    """
    try:
        with torch.device("meta"), _Outlining(_FIXED_CALLS + _CALLS_PER_TENSOR * tensors):
            network: nn.Module = build(settings)
    except (RuntimeError, OverflowError, MemoryError, TypeError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"no {settings.kind} can have these sizes ({reason})") from error
    state: dict[str, Tensor] = network.state_dict()
    return state


_FILLS = frozenset({Tensor.normal_, Tensor.uniform_})


class _Outlining(TorchFunctionMode):
    """Context in which torch may be called a limited number of times, and draws no numbers, in this thread.

    Without memory there is nothing to fill; but torch's random numbers of the meta device import its
    compiler and sympy, a second and 140 MB.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if (
            func is torch._C._set_grad_enabled
        ):  # the end of a no_grad must not fail, or it never ends
            return func(*args)
        self.left -= 1
        if self.left < 0:
            raise SettingsError("the model of these settings has many more tensors than the file")
        if func in _FILLS or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
