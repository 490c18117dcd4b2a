"""Progress of a training run in the terminal: a bar with rate and time left, a line per validation."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich import progress as bars
from rich.console import Console

from regard.training import Callback, Progress

__all__ = ["TrainingBar"]


class TrainingBar(Callback):
    """Progress bar on standard error; in a pipe or a log file only messages and validations are written."""

    def __init__(self) -> None:
        self.console: Console = Console(stderr=True)
        self._bar = bars.Progress(
            bars.TextColumn("[bold]epoch {task.fields[epoch]}"),
            bars.BarColumn(bar_width=None),
            bars.TextColumn("{task.completed}/{task.total} updates"),
            bars.TextColumn("loss {task.fields[loss]}"),
            bars.TextColumn("{task.fields[speed]} targets/s"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: Any = None
        self._latest: Progress | None = None

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
        """Write the message as one line."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def on_step(self, progress: Progress) -> None:
        """Move the bar."""
        fields: dict[str, Any] = {
            "epoch": progress.epoch,
            "loss": "-" if progress.loss is None else f"{progress.loss:.3f}",
            "speed": f"{progress.targets_per_second:,.0f}",
        }
        if self._task is None:
            self._task = self._bar.add_task("", total=progress.total, start=True, **fields)
        self._latest = progress
        self._bar.update(self._task, completed=progress.step, **fields)

    def on_validation_end(self, metrics: dict[str, float], *, best: bool) -> None:
        """Write the metrics as one line; a star marks the best so far."""
        now = self._latest
        position = f"epoch {now.epoch:>3}  update {now.step:>6}  " if now else ""
        loss = f"train {now.loss:.3f}  " if now and now.loss is not None else ""
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        line = f"{position}{loss}{text}{'  *' if best else ''}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
