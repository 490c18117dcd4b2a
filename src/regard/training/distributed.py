"""Data-parallel training in several processes, with the losses of one.

Every process holds the whole model and takes every n-th row of each batch. The gradients of the *summed*
loss are added up over the processes together with the number of targets, in one buffer, so the mean is
exact however unevenly the rows are divided. `accelerate launch` starts the processes; nothing else
changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regard.errors import MissingExtraError

__all__ = ["ProcessGroup"]


class ProcessGroup:
    """The processes that train together; only this one unless a launcher has set `WORLD_SIZE`.

    Attributes:
        rank: index of this process.
        world_size: number of processes.
        device: device of this process.

    Raises:
        MissingExtraError: several processes, but `accelerate` is not installed.
    """

    def __init__(self) -> None:
        self._accelerator: Any = None
        self.rank: int = 0
        self.world_size: int = 1
        self.device: torch.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._join()

    def _join(self) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("training in several processes", "scale") from error
        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.rank = self._accelerator.process_index
        self.world_size = self._accelerator.num_processes
        self.device = self._accelerator.device

    @property
    def is_main(self) -> bool:
        """`True` in the process that writes files and reports."""
        return self.rank == 0

    def all_reduce(self, tensors: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Sum over the processes, in one message.

        Args:
            tensors: replaced by their sums, in place.
            numbers: `(n,)`.

        Returns:
            The sum of `numbers`, `(n,)`.
        """
        if self.world_size == 1:
            return numbers
        # float64 would be exact for counts but doubles the traffic; float32 counts to 2**24.
        parts = torch.cat([tensor.flatten().float() for tensor in tensors] + [numbers.float()])
        buffer: Tensor = self._accelerator.reduce(parts, reduction="sum")
        start = 0
        for tensor in tensors:
            tensor.copy_(buffer[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return buffer[start:]

    def any_rank(self, flag: bool) -> bool:
        """Return `True` if `flag` is true in any process."""
        if self.world_size == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.device)
        return bool(self._accelerator.reduce(value, reduction="sum").item())

    def barrier(self) -> None:
        """Wait until all processes have reached this call."""
        if self.world_size > 1:
            self._accelerator.wait_for_everyone()
