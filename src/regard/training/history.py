"""History of a run: training and validation records, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from regard.files import atomic_write

__all__ = ["History", "Record", "better"]

Record: TypeAlias = dict[str, Any]

_LOWER_IS_BETTER = ("loss", "perplexity", "error")


def better(metric: str, new: float, old: float | None) -> bool:
    """Compare two values of a metric: losses, perplexities and errors should be low, others high."""
    if old is None:
        return True
    return new < old if metric.endswith(_LOWER_IS_BETTER) else new > old


class History:
    """Records of a run, in order.

    A training record is the mean of some updates: `{"step", "epoch", "train_loss", "learning_rate",
    "gradient_norm", "seconds"}`; a validation record holds the metrics of one validation: `{"step",
    "epoch", "seconds", "valid_loss", "valid_bleu", ...}`. `seconds` is the time spent in training,
    summed over interruptions.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records: list[Record] = list(records)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def add(self, record: Record) -> None:
        """Append one record."""
        self.records.append(record)

    @property
    def losses(self) -> list[float]:
        """Training losses in order, one per training record."""
        return [record["train_loss"] for record in self.records if "train_loss" in record]

    def best(self, metric: str) -> Record | None:
        """Find the validation record with the best `metric`; of equals, the earliest."""
        name = f"valid_{metric}"
        chosen: Record | None = None
        for record in self.records:
            if name in record and better(metric, record[name], chosen[name] if chosen else None):
                chosen = record
        return chosen

    def save(self, path: str | PathLike[str]) -> None:
        """Write one JSON object per line."""
        with atomic_write(path) as unfinished:
            text = "".join(json.dumps(record) + "\n" for record in self.records)
            unfinished.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> History:
        """Read a history that `save` wrote."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return cls(json.loads(line) for line in lines)
