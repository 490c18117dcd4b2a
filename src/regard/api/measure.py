"""Loss and metrics of a user's own module, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from regard.errors import InputError
from regard.training import Loss
from regard.training.own_batches import OwnBatch, rows_of

__all__ = ["Measure", "Number", "measure_of"]

Number: TypeAlias = Tensor | float
"""What a metric returns."""


@dataclass(frozen=True)
class Measure:
    """Loss and metrics of a batch.

    Args:
        figures: function of `(module, batch, wanted)` that computes the figures `wanted` of one batch.
        names: of all figures, the loss first.
    """

    figures: Callable[[nn.Module, Any, tuple[str, ...]], dict[str, Any]]
    names: tuple[str, ...]

    def training_loss(self, module: nn.Module, batch: OwnBatch) -> Loss:
        """Summed loss of a batch.

        Raises:
            InputError: it is no scalar with a gradient.
        """
        found = self.figures(module, batch.content, ("loss",))["loss"]
        if isinstance(found, Loss):
            value = found.value
        else:
            value = found
            if not isinstance(value, Tensor) or value.numel() != 1:
                came = (
                    f"a tensor of shape {tuple(value.shape)}"
                    if isinstance(value, Tensor)
                    else repr(value)
                )
                raise InputError(
                    f"the loss returned {came}; expected a scalar tensor, the mean over the batch"
                )
            rows = rows_of(batch.content)
            found = Loss(value.reshape(()) * rows, rows)
        if not value.requires_grad:
            raise InputError(
                "the loss has no gradient: it does not depend on a parameter, or was detached (.item(), .data, "
                "torch.no_grad)"
            )
        return found

    def means(
        self, module: nn.Module, batches: Iterable[OwnBatch], device: torch.device
    ) -> dict[str, float]:
        """Means of all figures over batches, each batch weighted by its number of examples or targets."""
        sums, counts = dict.fromkeys(self.names, 0.0), dict.fromkeys(self.names, 0.0)
        for batch in batches:
            content = batch.to(device).content
            for name, found in self.figures(module, content, self.names).items():
                if isinstance(found, Loss):
                    plain = found.value if found.plain is None else found.plain
                    total, count = float(plain), float(found.count)
                else:
                    count = float(rows_of(content))
                    total = _number(found, name) * count
                sums[name] += total
                counts[name] += count
        return {name: sums[name] / counts[name] for name in self.names}


def _number(found: Any, name: str) -> float:
    if isinstance(found, Tensor) and found.numel() != 1:
        raise InputError(
            f"{name} returned a tensor of shape {tuple(found.shape)}; expected one number"
        )
    try:
        return float(found)
    except (TypeError, ValueError):
        raise InputError(f"{name} returned {found!r:.80}; expected one number") from None


def measure_of(
    loss: Callable[[Any, Any], Tensor] | None,
    step: Callable[[Any, Any], Tensor | Loss] | None,
    metrics: Mapping[str, Callable[[Any, Any], Number]] | None,
) -> Measure:
    """Loss and metrics of either form as figures of a module and a batch.

    Args:
        loss: function of `(output, target)`; `None` if there is `step`.
        step: function of `(module, batch)`; `None` if there is `loss`.
        metrics: functions of the arguments of the one that is given, by name.

    Raises:
        InputError: both or neither, something that is no function, or a metric called `loss`.
    """
    if (loss is None) == (step is None):
        came = "neither" if loss is None else "both"
        raise InputError(
            "give either loss, a function of (output, target), or step, a function of (module, batch); "
            f"{came} came"
        )
    if "loss" in (metrics or {}):
        raise InputError("a metric cannot be called 'loss': that is the loss itself")
    functions = {"loss": loss or step, **(metrics or {})}
    strangers = [name for name, function in functions.items() if not callable(function)]
    if strangers:
        raise InputError(
            f"{strangers[0]} is a {type(functions[strangers[0]]).__name__}; expected a function"
        )

    def by_output(module: nn.Module, batch: Any, wanted: tuple[str, ...]) -> dict[str, Any]:
        inputs, target = _pair(batch)
        output = module(**inputs[0]) if isinstance(inputs[0], Mapping) else module(*inputs)
        return {name: functions[name](output, target) for name in wanted}  # type: ignore[misc]

    def by_batch(module: nn.Module, batch: Any, wanted: tuple[str, ...]) -> dict[str, Any]:
        return {name: functions[name](module, batch) for name in wanted}  # type: ignore[misc]

    return Measure(by_batch if loss is None else by_output, tuple(functions))


def _pair(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Inputs and target of a batch."""
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        held = f" with {len(batch)} entry" if isinstance(batch, tuple | list) else ""
        raise InputError(
            f"a batch is a {type(batch).__name__}{held}; loss needs (*inputs, target). For other batches give "
            "step=, a function of (module, batch)"
        )
    return tuple(batch[:-1]), batch[-1]
