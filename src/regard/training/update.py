"""One update of the weights: gradient of the mean loss, clipped, then AdamW."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from regard.training.checkpoint import put_weights
from regard.training.distributed import Processes
from regard.training.loss import Loss
from regard.training.ragged import Batch
from regard.training.schedule import rate
from regard.training.settings import TrainingSettings

__all__ = ["Updater", "lower_precision"]


class Updater:
    """A model with its optimizer and, if asked for, the moving average of its weights.

    AdamW (Loshchilov and Hutter 2019) with `beta1 = 0.9`. The moving average (Polyak and Juditsky
    1992) starts with a short memory, `min(ema, (1 + t) / (10 + t))`, so that it soon forgets the
    first weights.
    """

    def __init__(
        self, model: nn.Module, settings: TrainingSettings, *, total: int, processes: Processes
    ) -> None:
        self.model, self.settings, self.total, self.processes = model, settings, total, processes
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.parameters: list[Tensor] = list(self.named.values())
        self.optimizer = torch.optim.AdamW(
            _groups(model, settings.weight_decay), betas=(0.9, settings.beta2), fused=True
        )
        self.average: dict[str, Tensor] | None = None
        if settings.ema:
            self.average = {name: p.detach().clone() for name, p in self.named.items()}
        self._autocast = lower_precision(settings, processes.device)

    def __call__(
        self, loss: Callable[[nn.Module, Batch], Loss], batches: Sequence[Batch], step: int
    ) -> Tensor:
        """Make update `step` (from 1) from `batches`.

        Returns the summed loss, the number of targets and the norm of the mean's gradient, still on
        the device: reading them would make it wait.
        """
        self._seed(step)
        numbers = torch.zeros(2, device=self.processes.device)
        for batch in batches:
            numbers += self._backward(loss, batch)
        gradients = self._gradients()
        numbers = self.processes.add_up(gradients, numbers)
        norm = self._scale(gradients, numbers[1])
        for group in self.optimizer.param_groups:
            group["lr"] = rate(step, self.total, self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._follow(step)
        return torch.stack([numbers[0], numbers[1], norm])

    @property
    def finite(self) -> bool:
        """Whether every weight is a number; the last update can spoil them though its loss was one."""
        with torch.no_grad():
            return all(bool(p.isfinite().all()) for p in self.parameters)

    def _seed(self, step: int) -> None:
        # Each update draws its dropout from a stream of its own, so a resumed run needs no saved
        # generator and nothing done in between (validation, sampling) can disturb it.
        name = f"{self.settings.seed} {step} {self.processes.rank}"
        torch.manual_seed(zlib.crc32(name.encode()))

    def _backward(self, loss: Callable[[nn.Module, Batch], Loss], batch: Batch) -> Tensor:
        device = self.processes.device
        part = batch.part(self.processes.rank, self.processes.count)
        if part is None:
            return torch.zeros(2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._autocast):
            result = loss(self.model, part.to(device))
        result.value.backward()  # type: ignore[no-untyped-call]
        return torch.stack([result.value.detach(), result.value.new_tensor(float(result.count))])

    def _gradients(self) -> list[Tensor]:
        if self.processes.count > 1:  # every process must bring the same buffers
            for parameter in self.parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return [p.grad for p in self.parameters if p.grad is not None]

    def _scale(self, gradients: list[Tensor], count: Tensor) -> Tensor:
        """Turn the gradient of the sum into that of the mean, clipped; return the norm it had."""
        norm = torch.nn.utils.get_total_norm(gradients) / count
        factor = 1 / count
        if self.settings.clip:
            factor = factor * (self.settings.clip / norm).clamp(max=1)
        torch._foreach_mul_(gradients, factor)
        return norm

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        if self.average is not None:
            decay = min(self.settings.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.values()), self.parameters, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model with its averaged weights, without dropout; afterwards as it was."""
        former = {name: p.data for name, p in self.named.items()}
        for name, tensor in (self.average or {}).items():
            self.named[name].data = tensor
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            for name, tensor in former.items():
                self.named[name].data = tensor
            self.model.train()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that `restore` needs, by name."""
        found = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, parameter in self.named.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer/{key}/{name}"] = value
        for name, tensor in (self.average or {}).items():
            found[f"average/{name}"] = tensor
        return found

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Go back to where `tensors` were taken; `path` is where they were read, for errors."""
        model = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
        put_weights(self.model, model, path)
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer":
                key, _, owner = rest.partition("/")
                self.optimizer.state[self.named[owner]][key] = tensor.clone()
            elif kind == "average" and self.average is not None:
                self.average[rest].copy_(tensor)


def lower_precision(settings: TrainingSettings, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    rest = [p for p in parameters if p.ndim < 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
