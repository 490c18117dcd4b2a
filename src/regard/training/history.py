"""History of a run: training and validation records, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from regard.errors import DataError
from regard.files import atomic_write
from regard.training.ranking import Ranking

__all__ = ["CLOCK", "History", "Record", "metrics_of"]

Record: TypeAlias = dict[str, Any]

CLOCK = "seconds"
"""Field of a record that differs between equal runs; it is the only one, and no other file holds a time."""

_PREFIX = "valid_"


def metrics_of(record: Record) -> dict[str, float]:
    """Figures of a validation record by name, without their prefix; empty for other records.

    >>> metrics_of({"step": 7, "valid_loss": 2.5})
    {'loss': 2.5}
    """
    return {
        name.removeprefix(_PREFIX): value
        for name, value in record.items()
        if name.startswith(_PREFIX)
    }


class History:
    """Records of a run, in order.

    A training record is the mean of some updates: `{"step", "epoch", "train_loss", "learning_rate",
    "gradient_norm", "seconds"}`; a validation record holds the metrics of one validation: `{"step",
    "epoch", "seconds", "valid_loss", "valid_bleu", ..., "best", "decided_by"}`, where `best` is whether
    it was the best so far and `decided_by` the metric in which it differed from the best before it.
    Both losses are plain cross entropies per target, without label smoothing. `seconds` is the time
    spent in training, summed over interruptions.
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

    def best(self, ranking: Ranking | str) -> Record | None:
        """Find the best validation record; of equals, the earliest.

        Args:
            ranking: order of the validations, or the name of a metric that decides alone.
        """
        ranking = Ranking(ranking) if isinstance(ranking, str) else ranking
        chosen: Record | None = None
        for record in self.validations:
            metrics = metrics_of(record)
            if ranking.metric in metrics:
                before = metrics_of(chosen) if chosen is not None else None
                chosen = record if ranking.compare(metrics, before).better else chosen
        return chosen

    @property
    def validations(self) -> list[Record]:
        """Validation records in order."""
        return [record for record in self.records if metrics_of(record)]

    @property
    def table(self) -> list[Record]:
        """One row for each validation, with the mean training loss since the one before.

        For a frame: `pandas.DataFrame(history.table)`. A column is missing where a validation lacks it.

        >>> step = {"step": 2, "epoch": 1, "train_loss": 3.0}
        >>> History([step, {"step": 2, "epoch": 1, "valid_loss": 2.5, "best": True}]).table
        [{'step': 2, 'epoch': 1, 'train_loss': 3.0, 'valid_loss': 2.5, 'best': True}]
        """
        rows: list[Record] = []
        losses, before, last = 0.0, 0, 0
        for record in self.records:
            if "train_loss" in record:  # the mean of the updates since the training record before
                losses += record["train_loss"] * (record["step"] - before)
                before = record["step"]
            elif metrics_of(record):
                row: Record = {n: record[n] for n in ("step", "epoch") if n in record}
                if before > last:
                    row["train_loss"] = losses / (before - last)
                row |= {name: value for name, value in record.items() if name.startswith(_PREFIX)}
                rows.append({**row, "best": record.get("best", False)})
                losses, last = 0.0, before
        return rows

    def __repr__(self) -> str:
        return f"History({len(self.records)} records, {len(self.validations)} validations)"

    def save(self, path: str | PathLike[str]) -> None:
        """Write one JSON object per line."""
        with atomic_write(path) as unfinished:
            text = "".join(json.dumps(record) + "\n" for record in self.records)
            unfinished.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> History:
        """Read a history that `save` wrote; see `parse`."""
        return cls.parse(Path(path).read_bytes(), path)

    @classmethod
    def parse(cls, content: bytes, path: str | PathLike[str]) -> History:
        """Read the content of a file that `save` wrote.

        A last line without an end is left out if it is no record: a copy of the file was cut there.

        Args:
            content: of the file.
            path: of the file, for errors.

        Raises:
            DataError: another line is no record.
        """
        history = cls()
        lines = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line.decode("utf-8")) if line.strip() else None
                if record is not None and not isinstance(record, dict):
                    raise ValueError("not a JSON object")
            except ValueError as error:
                if number == len(lines):
                    break
                raise DataError(
                    f"not a record of a run ({error})",
                    path=path,
                    line=number,
                    remedy="go on with --resume, which writes the history again",
                ) from error
            if record is not None:
                history.add(record)
        return history
