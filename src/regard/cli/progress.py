"""Training, seen from a terminal: a bar with rate and time left, a line per validation."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from regard.training import Callback
from regard.training import Progress as Place

__all__ = ["TrainingBar"]


class TrainingBar(Callback):
    """Draws on standard error; in a pipe or a log file only the validations are written."""

    def __init__(self) -> None:
        self.console: Console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total} updates"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} targets/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: Any = None
        self._place: Place | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_message(self, message: str) -> None:
        """One line."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def on_step(self, progress: Place) -> None:
        """Move the bar."""
        fields: dict[str, Any] = {
            "epoch": progress.epoch,
            "loss": "-" if progress.loss is None else f"{progress.loss:.3f}",
            "speed": f"{progress.targets_per_second:,.0f}",
        }
        if self._task is None:
            self._task = self._bar.add_task("", total=progress.total, start=True, **fields)
        self._place = progress
        self._bar.update(self._task, completed=progress.step, **fields)

    def on_validation_end(self, metrics: dict[str, float], *, best: bool) -> None:
        """One line per validation; a star marks the best so far."""
        place = self._place
        where = f"epoch {place.epoch:>3}  update {place.step:>6}  " if place else ""
        loss = f"train {place.loss:.3f}  " if place and place.loss is not None else ""
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        line = f"{where}{loss}{text}{'  *' if best else ''}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
