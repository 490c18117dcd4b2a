"""Progress of a run in the terminal: a bar with rate and time left, a line per validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, Self

from rich import progress as bars
from rich.console import Console

from regard.engines import Engine
from regard.engines.contracts import AnyWork
from regard.training import Callback, Progress

__all__ = ["TextsBar", "TrainingBar", "WatchedEngine"]


class TrainingBar(Callback):
    """Progress bar on standard error; in a pipe or a log file only messages and validations are written."""

    def __init__(self) -> None:
        self.console: Console = Console(stderr=True)
        self._bar = bars.Progress(
            bars.TextColumn("[bold]epoch {task.fields[epoch]}"),
            bars.BarColumn(bar_width=None),
            bars.TextColumn("{task.fields[updates]} updates"),
            bars.TextColumn("train loss {task.fields[loss]}"),
            bars.TextColumn("{task.fields[speed]} targets/s"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TextColumn("{task.fields[left]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: Any = None
        self._latest: Progress | None = None
        self._began: tuple[float, float] | None = None  # time and share done at the first update

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_message(self, message: str) -> None:
        """Write the message as one line."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def on_step(self, progress: Progress) -> None:
        """Move the bar."""
        now = time.monotonic()
        self._began = self._began or (now, progress.done)
        fields: dict[str, Any] = {
            "epoch": progress.epoch,
            "updates": f"{progress.step:,}/{progress.total:,}",
            "loss": "-" if progress.loss is None else f"{progress.loss:.3f}",
            "speed": f"{progress.targets_per_second:,.0f}",
            "left": time_left(now - self._began[0], self._began[1], progress.done),
        }
        if self._task is None:
            self._task = self._bar.add_task("", total=1.0, start=True, **fields)
        self._latest = progress
        self._bar.update(self._task, completed=progress.done, **fields)

    def on_validation_end(self, metrics: dict[str, float], *, best: bool) -> None:
        """Write the metrics as one line; a star marks the best so far."""
        now = self._latest
        position = f"epoch {now.epoch:>3}  update {now.step:>6}  " if now else ""
        loss = f"train loss {now.loss:.3f}  " if now and now.loss is not None else ""
        names = {"loss": "valid loss"}
        text = "  ".join(f"{names.get(name, name)} {value:.4g}" for name, value in metrics.items())
        line = f"{position}{loss}{text}{'  *' if best else ''}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class TextsBar:
    """Progress bar of a pass over texts on standard error, with the time left; nothing in a pipe.

    Args:
        count: number of all texts; called only if there is a bar. `None` if it is not known.
        quiet: whether the terminal is needed for something else.
        unit: what is counted.
    """

    def __init__(
        self, count: Callable[[], int | None], *, quiet: bool = False, unit: str = "texts"
    ) -> None:
        console = Console(stderr=True)
        shown = console.is_terminal and not quiet
        self._bar = bars.Progress(
            bars.TextColumn(f"[bold]{unit}"),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._task = self._bar.add_task("", total=count() if shown else None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_texts(self, done: int) -> None:
        """Move the bar to the number of texts that are done."""
        self._bar.update(self._task, completed=done)


class WatchedEngine:
    """An engine with a progress bar: batches of a test part, or texts that are examined.

    Args:
        engine: that does the work.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, make_work: Callable[[bool], AnyWork], shards: Iterable[Any]) -> Iterator[Any]:
        """Results of all shards: see `Engine.run`."""
        with TextsBar(lambda: _length(shards), unit="batches") as bar:
            for done, result in enumerate(self._engine.run(make_work, shards), 1):
                bar.on_texts(done)
                yield result


def _length(items: object) -> int | None:
    """Number of items; `None` if only taking them would tell."""
    return len(items) if isinstance(items, Sized) else None


def time_left(seconds: float, begun: float, done: float) -> str:
    """Estimate of the time left, `hours:minutes:seconds`; `-` while there is nothing to go by.

    >>> time_left(60.0, 0.0, 0.25)
    '0:03:00'

    Args:
        seconds: since the share `begun` was done, validations included.
        begun: share of the run that was done then; more than 0 in a resumed run.
        done: share that is done now.
    """
    if done <= begun:
        return "-"
    return str(timedelta(seconds=round(seconds * (1 - done) / (done - begun))))
