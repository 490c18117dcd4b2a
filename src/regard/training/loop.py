"""The training loop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from regard.errors import TrainingError
from regard.files import remove_unfinished
from regard.training.callbacks import Progress, Watcher
from regard.training.checkpoint import LAST, WEIGHTS, RunState, read_run, save_run, save_weights
from regard.training.distributed import Processes
from regard.training.history import History, Record, better
from regard.training.interrupt import Interrupted, Interruption
from regard.training.loss import Loss
from regard.training.ragged import Batch
from regard.training.schedule import rate
from regard.training.settings import TrainingSettings
from regard.training.tensorboard import Board
from regard.training.update import Updater

__all__ = ["fit"]


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, Batch], Loss],
    batches: Callable[[int], Sequence[Batch]],
    *,
    settings: TrainingSettings,
    validate: Callable[[nn.Module], dict[str, float]],
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    processes: Processes | None = None,
) -> History:
    """Train `model`, leaving the best weights in `out`.

    Args:
        model: changed in place; ends with the last weights (`out/model.safetensors` has the best).
        loss: the summed loss of a batch.
        batches: the batches of an epoch (from 0), the same whenever asked, so that a run can go on
            inside one.
        settings: how.
        validate: numbers of the model as it is now, without dropout; one must be `settings.metric`.
        out: where best weights, history and state go; `None` writes nothing.
        resume: go on from what `out` holds, to exactly the losses of a run never interrupted.
        watcher: hears of progress.
        processes: those that train together.

    Raises:
        TrainingError: a loss or weight is no longer finite; names epoch and step. `out` keeps the last
            good state.
        Interrupted: SIGINT or SIGTERM came; everything is saved.
    """
    processes = processes or Processes()
    model.to(processes.device).train()
    total = settings.steps or settings.epochs * _updates(batches(0), settings)
    updater = Updater(model, settings, total=total, processes=processes)
    run = _Run(updater, validate, Path(out) if out is not None else None, watcher or Watcher())
    if resume:
        run.restore()
    with Interruption() as interruption:
        if run.state.due:  # the end came during a validation
            run.check(interruption)
        while run.unfinished():
            epoch = batches(run.state.epoch)
            while run.state.position < len(epoch) and run.unfinished():
                group = epoch[run.state.position : run.state.position + settings.accumulate]
                run.updated(updater(loss, group, run.state.step + 1), len(group))
                if run.is_due(settings.validate_every):
                    run.check(interruption)
                run.stop_if(interruption)
            if run.state.position >= len(epoch):
                run.next_epoch()
                if settings.validate_every is None:
                    run.check(interruption)
        run.check(interruption)
    return run.history


def _updates(epoch: Sequence[object], settings: TrainingSettings) -> int:
    return math.ceil(len(epoch) / settings.accumulate)


class _Run:
    """The bookkeeping around the loop: what was seen, when to save, when to stop."""

    def __init__(
        self,
        updater: Updater,
        validate: Callable[[nn.Module], dict[str, float]],
        out: Path | None,
        watcher: Watcher,
    ) -> None:
        self.updater, self.validate, self.out, self.watcher = updater, validate, out, watcher
        self.settings, self.total = updater.settings, updater.total
        self.processes = updater.processes
        self.state, self.history = RunState(), History()
        self.loss: float | None = None
        self.board: Board | None = None
        self._pending: list[Tensor] = []
        self._saved = self._clock = time.monotonic()
        if out is not None and self.processes.first:
            out.mkdir(parents=True, exist_ok=True)
            remove_unfinished(out)
            if self.settings.tensorboard:
                self.board = Board(out / "tensorboard")

    def restore(self) -> None:
        assert self.out is not None
        self.state, self.history, tensors = read_run(self.out)
        self.updater.restore(tensors, self.out / LAST)

    def unfinished(self) -> bool:
        minutes, patience = self.settings.minutes, self.settings.patience
        improving = not patience or self.state.waited < patience
        late = minutes is not None and self.processes.agree(self.state.seconds >= 60 * minutes)
        return self.state.step < self.total and improving and not late

    def is_due(self, every: int | None) -> bool:
        return every is not None and self.state.step % every == 0

    def updated(self, numbers: Tensor, batches: int) -> None:
        """Count an update; read its numbers back only now and then."""
        self.state.step += 1
        self.state.position += batches
        self._pending.append(numbers)
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now
        if len(self._pending) >= self.settings.log_every or self.is_due(self.settings.log_every):
            self.read()
        if self.out is not None and now - self._saved >= self.settings.save_seconds:
            self.save()
        speed = self.state.targets / max(self.state.seconds, 1e-9)
        self.watcher.stepped(
            Progress(self.state.step, self.total, self.state.epoch + 1, self.loss, speed)
        )

    def read(self) -> None:
        """Read the numbers of the latest updates: one wait for the device, not one per update."""
        if not self._pending:
            return
        first = self.state.step - len(self._pending) + 1
        for step, (loss, count, norm) in enumerate(torch.stack(self._pending).tolist(), first):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._stop_at(step, "the loss" if not math.isfinite(loss) else "the gradient")
            total, targets, norms, updates = self.state.stretch
            self.state.stretch = (total + loss, targets + count, norms + norm, updates + 1)
            self.state.targets += count
            if step % self.settings.log_every == 0 or step == self.total:
                self._record(step)
        self._pending.clear()

    def _record(self, step: int) -> None:
        total, targets, norms, updates = self.state.stretch
        self.loss = total / targets
        self._add(
            {
                "step": step,
                "epoch": self.state.epoch + 1,
                "train_loss": self.loss,
                "learning_rate": rate(step, self.total, self.settings),
                "gradient_norm": norms / updates,
                "seconds": round(self.state.seconds, 3),
            }
        )
        self.state.stretch = (0.0, 0.0, 0.0, 0)

    def _add(self, record: Record) -> None:
        self.history.add(record)
        if self.board is not None:
            self.board.add(record)

    def _stop_at(self, step: int, what: str) -> None:
        kept = ""
        if self.out is not None:
            saved = any((self.out / name).is_file() for name in (WEIGHTS, LAST))
            kept = f"; {self.out} keeps the last good state" if saved else "; nothing was saved yet"
        epoch = self.state.epoch + (self.state.position > 0)
        raise TrainingError(
            f"{what} is no longer a number at epoch {epoch}, step {step}{kept}: "
            "try a lower learning_rate, a longer warmup, clip=1 or precision=float32"
        )

    def next_epoch(self) -> None:
        self.state.epoch += 1
        self.state.position = 0

    def stop_if(self, interruption: Interruption) -> None:
        """Save and raise when a signal came, to this process or another."""
        if self.processes.agree(interruption.signal is not None):
            self.save()
            raise Interrupted(self.out, interruption.signal or signal.SIGTERM)

    def check(self, interruption: Interruption) -> None:
        """Validate, unless that was just done; keep the weights if they are the best."""
        if self.state.validated == self.state.step:
            return
        self.state.due = True
        self.save()
        self.stop_if(interruption)
        # With other processes waiting for this one, a signal is heeded after the validation.
        at_once = interruption.at_once() if self.processes.count == 1 else nullcontext()
        try:
            with at_once:
                best = self._validate() if self.processes.first else False
        except KeyboardInterrupt:
            raise Interrupted(self.out, interruption.signal or signal.SIGINT) from None
        self.state.due, self.state.validated = False, self.state.step
        self.state.waited = 0 if self.processes.agree(best) else self.state.waited + 1
        self.save()
        self._clock = time.monotonic()

    def _validate(self) -> bool:
        self.watcher.validating()
        with self.updater.averaged() as model:
            numbers = self.validate(model)
            if not math.isfinite(numbers.get("loss", 0.0)):
                self._stop_at(self.state.step, "the loss on the validation part")
            value = numbers[self.settings.metric]
            best = better(self.settings.metric, value, self.state.best)
            if best:
                self.state.best = value
                if self.out is not None:
                    save_weights(model, self.out / WEIGHTS)
        epoch = self.state.epoch + (self.state.position > 0)
        facts = {"step": self.state.step, "epoch": epoch}
        named = {f"valid_{name}": number for name, number in numbers.items()}
        self._add({**facts, "seconds": round(self.state.seconds, 3), **named})
        self.watcher.validated(numbers, best=best)
        return best

    def save(self) -> None:
        """Write the state of the run; only of updates whose numbers and weights are finite."""
        self.read()
        if not self.updater.finite:
            self._stop_at(self.state.step, "a weight")
        self._saved = time.monotonic()
        if self.out is not None and self.processes.first:
            save_run(self.out, self.state, self.history, self.updater.tensors())
            self.history.save(self.out / "history.jsonl")
