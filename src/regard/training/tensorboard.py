"""The history of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.errors import MissingExtraError

__all__ = ["TensorboardWriter"]

_NOT_METRICS = ("step", "epoch", "seconds", "best", "decided_by")


class TensorboardWriter:
    """Writes the records of a history to `folder`, where `tensorboard --logdir` finds them.

    Raises:
        MissingExtraError: `tensorboard` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard=true", "scale") from error
        self._writer: Any = SummaryWriter(str(folder))

    def add(self, record: dict[str, Any]) -> None:
        """Write the metrics of one record, `train_loss` as `train/loss`."""
        for name, value in record.items():
            if name not in _NOT_METRICS:
                self._writer.add_scalar(name.replace("_", "/", 1), value, record["step"])
        self._writer.flush()
