"""One update of the weights: gradient of the mean loss, clipped, then AdamW."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from regard.training.batch import Divisible
from regard.training.checkpoint import assign_weights
from regard.training.distributed import ProcessGroup
from regard.training.loss import Loss
from regard.training.schedule import learning_rate
from regard.training.settings import TrainingSettings
from regard.training.sharding import ShardedModel, local, part_of, whole

__all__ = ["Updater", "uses_bfloat16"]

B = TypeVar("B", bound=Divisible)


class Updater:
    """A model with its optimizer and, if the settings have `ema`, the moving average of its weights.

    AdamW (Loshchilov and Hutter 2019) with `beta1 = 0.9`. The moving average (Polyak and Juditsky
    1992) begins with a small decay, `min(ema, (1 + t) / (10 + t))`, so that it soon forgets the
    initial weights.

    Args:
        model: changed in place.
        settings: of the run.
        total: updates planned, for the learning-rate schedule.
        process_group: processes that train together.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainingSettings,
        *,
        total: int,
        process_group: ProcessGroup,
    ) -> None:
        self.model: nn.Module = model
        self.settings: TrainingSettings = settings
        self.total: int = total
        self.process_group = process_group
        self._sharded: ShardedModel | None = None
        if settings.sharded and process_group.world_size > 1:
            self._sharded = ShardedModel(model, process_group.device, process_group.world_size)
        trained = model if self._sharded is None else self._sharded.divided
        self.named: dict[str, nn.Parameter] = {
            name: p for name, p in trained.named_parameters() if p.requires_grad
        }
        self.parameters: list[Tensor] = list(self.named.values())
        self.optimizer: torch.optim.AdamW = torch.optim.AdamW(
            _parameter_groups(trained, settings.weight_decay),
            betas=(0.9, settings.beta2),
            fused=True,
        )
        self.average: dict[str, Tensor] | None = None
        if settings.ema:
            self.average = {name: p.detach().clone() for name, p in self.named.items()}
        self._autocast = uses_bfloat16(settings, process_group.device)

    def __call__(
        self, loss: Callable[[nn.Module, B], Loss], batches: Sequence[B], step: int
    ) -> Tensor:
        """Make one update.

        Args:
            loss: the summed loss of a batch.
            batches: their gradients are accumulated.
            step: number of the update, from 1.

        Returns:
            Summed loss, number of targets, gradient norm of the mean loss and summed plain loss,
            `(4,)`, still on the device: reading them would wait for it.
        """
        self._seed(step)
        numbers = torch.zeros(3, device=self.process_group.device)
        for batch in batches:
            numbers += self._backward(loss, batch)
        # Sums first, over batches and processes; divided once by the number of targets of all. A mean
        # of means would weight targets in small batches higher.
        gradients = self._gradients()
        # Gradients that are divided were added up on the way back.
        reduced = [] if self._sharded is not None else gradients
        numbers = self.process_group.all_reduce(reduced, numbers)
        norm = self._scale_and_clip(gradients, numbers[1])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.total, self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average(step)
        return torch.stack([numbers[0], numbers[1], norm, numbers[2]])

    @property
    def finite(self) -> bool:
        """`True` if every weight is finite; an update with a finite loss can still make one infinite."""
        with torch.no_grad():
            finite = all(bool(local(p).isfinite().all()) for p in self.parameters)
        return finite if self._sharded is None else not self.process_group.any_rank(not finite)

    def _seed(self, step: int) -> None:
        # Each update draws its dropout from a random stream of its own, so a resumed run needs no saved
        # generator and nothing done in between (validation, sampling) can disturb it.
        name = f"{self.settings.seed} {step} {self.process_group.rank}"
        torch.manual_seed(zlib.crc32(name.encode()))

    def _backward(self, loss: Callable[[nn.Module, B], Loss], batch: B) -> Tensor:
        """Add the gradient of this process's part of a batch; return its losses and targets."""
        device = self.process_group.device
        part = batch.part(self.process_group.rank, self.process_group.world_size)
        if part is None and self._sharded is None:  # fewer rows than processes
            return torch.zeros(3, device=device)
        # With divided weights every process takes part in each pass: with a row that counts 0.
        counts = part is not None
        part = part if part is not None else batch.part(0, self.process_group.world_size)
        assert part is not None
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._autocast):
            if self._sharded is None:
                result = loss(self.model, part.to(device))
                summed = result.value
            else:
                summed, result = self._sharded(loss, part.to(device))
        (summed if counts else summed * 0).backward()  # type: ignore[no-untyped-call]
        if not counts:
            return torch.zeros(3, device=device)
        value = result.value.detach()
        plain = value if result.plain is None else result.plain
        return torch.stack([value, value.new_tensor(float(result.count)), plain])

    def _gradients(self) -> list[Tensor]:
        if self.process_group.world_size > 1:  # every process must bring the same buffers
            for parameter in self.parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return [p.grad for p in self.parameters if p.grad is not None]

    def _scale_and_clip(self, gradients: list[Tensor], count: Tensor) -> Tensor:
        """Turn the gradient of the sum into that of the mean and clip it; return the norm before clipping."""
        norm = whole(torch.nn.utils.get_total_norm(gradients)) / count
        # Dividing and clipping are one factor, so that the gradients are read and written once.
        factor = 1 / count
        if self.settings.clip:
            factor = factor * (self.settings.clip / norm).clamp(max=1)
        torch._foreach_mul_(  # pyright: ignore[reportPrivateImportUsage]
            [local(gradient) for gradient in gradients], factor
        )
        return norm

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        if self.average is not None:
            decay = min(self.settings.ema, (1 + step) / (10 + step))
            averages = [local(tensor) for tensor in self.average.values()]
            parameters = [local(parameter) for parameter in self.parameters]
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                averages, parameters, 1 - decay
            )

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Context in which the model has its averaged weights and is in evaluation mode.

        If the weights are divided, all processes must enter it, and the main one has them whole.
        """
        current: dict[str, Tensor] = {}
        if self._sharded is not None:
            self._gather_averages(self._sharded)
        else:
            for name, tensor in (self.average or {}).items():
                current[name] = self.named[name].data
                self.named[name].data = tensor
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            for name, tensor in current.items():
                self.named[name].data = tensor
            if self._sharded is not None:
                self._sharded.release()
            self.model.train()

    @torch.no_grad()
    def _gather_averages(self, sharded: ShardedModel) -> None:
        # FSDP sends the memory it knows, so that the averages are copied there for a while.
        current = {name: local(self.named[name]).clone() for name in self.average or {}}
        for name, tensor in (self.average or {}).items():
            local(self.named[name]).copy_(local(tensor))
        sharded.gather()
        for name, tensor in current.items():
            local(self.named[name]).copy_(tensor)

    def close(self) -> None:
        """Give divided weights back to the model, whole; all processes must call it."""
        if self._sharded is not None:
            self._sharded.give_back()

    def tensors(self) -> dict[str, Tensor]:
        """Return weights, optimizer state and averages by name, as `restore` needs them.

        If they are divided, all processes must call it, and the main one gets them, whole.
        """
        trained = self.model if self._sharded is None else self._sharded.divided
        found = {f"model/{name}": tensor for name, tensor in trained.state_dict().items()}
        for name, parameter in self.named.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer/{key}/{name}"] = value
        for name, tensor in (self.average or {}).items():
            found[f"average/{name}"] = tensor
        if self._sharded is None:
            return found
        gathered = ((name, whole(tensor)) for name, tensor in found.items())
        return {name: tensor.cpu() for name, tensor in gathered if self.process_group.is_main}

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Set weights, optimizer state and averages.

        Args:
            tensors: what `tensors` returned.
            path: file they were read from, for errors.

        Raises:
            ModelFolderError: they belong to another model.
        """
        model = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
        if self._sharded is None:
            assign_weights(self.model, model, path)
        else:
            self._sharded.load(model, path)
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer":
                key, _, owner = rest.partition("/")
                self.optimizer.state[self.named[owner]][key] = part_of(tensor, self.named[owner])
            elif kind == "average" and self.average is not None:
                average = self.average[rest]
                local(average).copy_(local(part_of(tensor, average)))


def uses_bfloat16(settings: TrainingSettings, device: torch.device) -> bool:
    """Return `True` if matrix products run in bfloat16; `precision="auto"` depends on the hardware."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only: not for embeddings, biases and the gains of norms."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    rest = [p for p in parameters if p.ndim < 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
