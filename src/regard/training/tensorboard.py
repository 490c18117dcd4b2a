"""The history of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.errors import MissingExtraError

__all__ = ["Board"]

_PLACES = ("step", "epoch", "seconds")


class Board:
    """Writes each record of a history into `folder`, where `tensorboard --logdir` finds it."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard=true", "scale") from error
        self._writer: Any = SummaryWriter(str(folder))

    def add(self, record: dict[str, Any]) -> None:
        """Write the numbers of one record."""
        for name, value in record.items():
            if name not in _PLACES:
                self._writer.add_scalar(name.replace("_", "/", 1), value, record["step"])
        self._writer.flush()
