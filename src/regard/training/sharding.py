"""Weights divided over processes: fully sharded data parallelism (FSDP) by torch's own `fully_shard`.

Each process keeps one part in n of every weight, of its gradient and of its two moments in the optimizer
(Rajbhandari et al. 2020, ZeRO stage 3; Zhao et al. 2023). A layer is put together while it is used, forwards
and backwards, and its gradients are added up over the processes as they are divided again::

    memory of a process        weights   gradients   moments     in bytes per weight, float32
    divided, n processes        4 / n      4 / n      8 / n      and the layer in use, whole
    whole (`ProcessGroup`)      4          4          8

To validate and to save, the main process puts the whole weights together once, without gradients and moments.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regard.errors import SettingsError
from regard.training.batch import Divisible
from regard.training.checkpoint import check_layout
from regard.training.loss import Loss

__all__ = ["ShardedModel", "local", "part_of", "twin", "whole"]

B = TypeVar("B", bound=Divisible)
M = TypeVar("M", bound=nn.Module)

OLDEST_TORCH = (2, 13)


class ShardedModel(nn.Module):
    """A model whose weights are divided over all processes, and its loss.

    The model that it is made from keeps its modules and gives its weights away: they are empty until `gather`
    fills them for a while.

    Args:
        model: has equal weights in every process.
        device: of this process.
        world_size: number of processes.

    Raises:
        SettingsError: torch is too old, or layers share weights.

    Attributes:
        divided: copy of the model that holds this process's part of the weights.
    """

    def __init__(self, model: nn.Module, device: torch.device, world_size: int) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import (
            FSDPModule,
            fully_shard,
            register_fsdp_forward_method,
        )

        if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST_TORCH:
            raise SettingsError(
                f"sharded=true needs torch {'.'.join(map(str, OLDEST_TORCH))} or newer; this is "
                f"{torch.__version__}, and with 2.11 the backward pass fails"
            )
        super().__init__()
        self.divided: nn.Module = twin(model)
        mesh = init_device_mesh(device.type, (world_size,))
        for block, methods in list(_blocks(self.divided)):
            fully_shard(block, mesh=mesh)
            for method in methods:
                register_fsdp_forward_method(block, method)
        fully_shard(self, mesh=mesh)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                # Sums, not means: the loss is divided by the number of targets of all processes, once.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        self._whole = [model]  # in a list, so that it is no submodule
        self.release()

    def forward(self, loss: Callable[[nn.Module, B], Loss], batch: B) -> tuple[Tensor, Loss]:
        """Return the loss of a batch, as a tensor for autograd and whole.

        The loss is computed inside of `forward`, so that it may use the model by any of its methods.
        """
        found = loss(self.divided, batch)
        return found.value, found

    def gather(self) -> None:
        """Give the whole weights to the model in the main process; all processes must call it."""
        for name, tensor in self._named(self.divided):
            full = whole(tensor)
            if torch.distributed.get_rank() == 0:
                self._target(name).data = full

    def release(self) -> None:
        """Empty the model's weights again."""
        for name, tensor in self._named(self._whole[0]):
            if isinstance(tensor, nn.Parameter):
                self._target(name).data = tensor.new_empty(0)

    def give_back(self) -> None:
        """Give the whole weights to the model in every process, for good."""
        for name, tensor in self._named(self.divided):
            self._target(name).data = whole(tensor).clone()

    def load(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Take this process's part of the whole tensors of a state dict.

        Args:
            tensors: the state dict.
            path: file they were read from, for errors.

        Raises:
            ModelFolderError: they belong to another model.
        """
        check_layout(self.divided.state_dict(), tensors, path)
        with torch.no_grad():
            for name, tensor in self._named(self.divided):
                local(tensor).copy_(local(part_of(tensors[name], tensor)))

    def _target(self, name: str) -> Tensor:
        owner, _, attribute = name.rpartition(".")
        tensor: Tensor = getattr(self._whole[0].get_submodule(owner), attribute)
        return tensor

    @staticmethod
    def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Weights, and the other tensors of the state: tied weights once, by their first name."""
        stored = model.state_dict(keep_vars=True).keys()
        yield from model.named_parameters()
        yield from ((name, buffer) for name, buffer in model.named_buffers() if name in stored)


def twin(model: M) -> M:
    """Copy a model, but for its weights: the copy has the same memory, until that is divided."""
    shared = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, memo=dict[int, object](shared))


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, or the tensor itself if it is not divided."""
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together; every process must call it for the same tensors in the same order."""
    from torch.distributed.tensor import DTensor

    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """Divide a whole value as another tensor is divided; a copy, if that is not or has another shape."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or value.shape != like.shape:  # a count of steps
        return value.clone()
    # Each process has the value, so none has to send it.
    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def _blocks(model: nn.Module) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    """Layers that are put together one at a time, with the methods beside `forward` that use their weights."""
    names: set[str] = set()
    for part in model.modules():
        names.update(getattr(part, "_no_split_modules", None) or ())  # of transformers
    found: list[nn.Module] = []
    for part in model.modules():
        methods: Any = getattr(part, "sharded_methods", None)
        if methods is not None or type(part).__name__ in names:
            found.append(part)
            yield part, tuple(methods or ())
    _check_not_shared(model, found)


def _check_not_shared(model: nn.Module, blocks: list[nn.Module]) -> None:
    """Refuse weights that two layers share: each would keep a part of its own.

    Raises:
        SettingsError: there are some.
    """
    owners: dict[int, int] = {}
    for index, block in enumerate(blocks):
        for name, parameter in block.named_parameters():
            if owners.setdefault(id(parameter), index) != index:
                raise SettingsError(
                    f"sharded=true: {name} of a {type(block).__name__} is shared with another layer of "
                    f"{type(model).__name__}, and cannot be divided; leave sharded out"
                )
