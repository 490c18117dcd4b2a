"""One process or many: the same batch, the same gradient, the same losses.

Every process holds the whole model and takes every n-th row of each batch. Gradients of the
*summed* loss are added up over the processes together with the number of targets, in one buffer, so
the mean is exact however unevenly the rows fall. `accelerate launch` starts the processes; nothing
else changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regard.errors import MissingExtraError

__all__ = ["Processes"]


class Processes:
    """The processes that train together; just this one unless a launcher says otherwise.

    Attributes:
        rank: which one this is, from 0; the first alone writes files and reports.
        count: how many there are.
        device: where this one computes.
    """

    def __init__(self) -> None:
        self._accelerator: Any = None
        self.rank, self.count = 0, 1
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._join()

    def _join(self) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("training in several processes", "scale") from error
        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.rank = self._accelerator.process_index
        self.count = self._accelerator.num_processes
        self.device = self._accelerator.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Sum `tensors` over the processes in place; return the sum of `numbers` (a vector)."""
        if self.count == 1:
            return numbers
        # float64 would be exact for counts but doubles the traffic; float32 counts to 2**24.
        parts = torch.cat([tensor.flatten().float() for tensor in tensors] + [numbers.float()])
        buffer: Tensor = self._accelerator.reduce(parts, reduction="sum")
        start = 0
        for tensor in tensors:
            tensor.copy_(buffer[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return buffer[start:]

    def agree(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return flag
        said = torch.tensor([float(flag)], device=self.device)
        return bool(self._accelerator.reduce(said, reduction="sum").item())

    def wait(self) -> None:
        """Let all processes reach this line."""
        if self.count > 1:
            self._accelerator.wait_for_everyone()
