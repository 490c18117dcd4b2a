"""The training loop, and the bookkeeping around it: records, checkpoints, validation, when to stop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from regard.errors import TrainingError
from regard.files import remove_unfinished
from regard.training.batch import Batch
from regard.training.callbacks import Callback, Progress
from regard.training.checkpoint import (
    RUN_FILE,
    WEIGHTS_FILE,
    Running,
    RunState,
    read_run,
    save_run,
    save_weights,
)
from regard.training.distributed import ProcessGroup
from regard.training.history import History, Record, better
from regard.training.interrupt import DeferredSignals, Interrupted
from regard.training.loss import Loss
from regard.training.schedule import learning_rate
from regard.training.settings import TrainingSettings
from regard.training.tensorboard import TensorboardWriter
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
    callback: Callback | None = None,
    process_group: ProcessGroup | None = None,
) -> History:
    """Train `model`, leaving the best weights in `out`.

    Args:
        model: changed in place; ends with the last weights (`out/model.safetensors` has the best).
        loss: the summed loss of a batch.
        batches: the batches of an epoch (from 0). Must return equal batches for equal epochs, so that
            a run can continue inside one.
        settings: of the run.
        validate: metrics of the model as it is, without dropout; `settings.metric` must be among them.
        out: folder for best weights, history and state; `None` writes nothing.
        resume: continue the run in `out`, to exactly the losses of one that was never interrupted.
        callback: informed of progress.
        process_group: processes that train together.

    Returns:
        Training and validation records.

    Raises:
        TrainingError: a loss or weight is no longer finite; names epoch and step. `out` keeps the last
            good state.
        Interrupted: SIGINT or SIGTERM came; everything is saved.
    """
    process_group = process_group or ProcessGroup()
    model.to(process_group.device).train()
    total = settings.steps or settings.epochs * _updates(batches(0), settings)
    updater = Updater(model, settings, total=total, process_group=process_group)
    run = _Run(updater, validate, Path(out) if out is not None else None, callback or Callback())
    if resume:
        run.restore()
    with DeferredSignals() as signals:
        if run.state.validation_pending:  # the earlier process ended during a validation
            run.validate(signals)
        while run.unfinished():
            epoch = batches(run.state.epoch)
            while run.state.batches_done < len(epoch) and run.unfinished():
                done = run.state.batches_done
                group = epoch[done : done + settings.accumulate]
                numbers = updater(loss, group, run.state.step + 1)
                run.count_update(numbers, len(group))
                if run.at_interval(settings.validate_every):
                    run.validate(signals)
                run.stop_if_interrupted(signals)
            if run.state.batches_done >= len(epoch):
                run.next_epoch()
                if settings.validate_every is None:
                    run.validate(signals)
        run.validate(signals)  # the last weights, unless that was just done
    return run.history


def _updates(epoch: Sequence[object], settings: TrainingSettings) -> int:
    return math.ceil(len(epoch) / settings.accumulate)


class _Run:
    """State of a run, with everything that happens between updates.

    Attributes:
        state: position, as it is saved.
        history: records so far.
        loss: mean training loss of the latest record.
    """

    def __init__(
        self,
        updater: Updater,
        validate: Callable[[nn.Module], dict[str, float]],
        out: Path | None,
        callback: Callback,
    ) -> None:
        self.updater, self.out, self.callback = updater, out, callback
        self.settings, self.total = updater.settings, updater.total
        self.process_group = updater.process_group
        self.state, self.history = RunState(), History()
        self.loss: float | None = None
        self._metrics = validate
        self._tensorboard: TensorboardWriter | None = None
        self._unread: list[Tensor] = []  # numbers of the latest updates, still on the device
        self._saved = self._clock = time.monotonic()
        if out is not None and self.process_group.is_main:
            out.mkdir(parents=True, exist_ok=True)
            remove_unfinished(out)
            if self.settings.tensorboard:
                self._tensorboard = TensorboardWriter(out / "tensorboard")

    def restore(self) -> None:
        """Go back to the state that was saved in `out`."""
        assert self.out is not None
        self.state, self.history, tensors = read_run(self.out)
        self.updater.restore(tensors, self.out / RUN_FILE)

    def unfinished(self) -> bool:
        """Return `True` while updates, patience and time are left."""
        minutes, patience = self.settings.minutes, self.settings.patience
        improving = not patience or self.state.validations_since_best < patience
        # Clocks differ: if one process is over time, all stop, or the others would wait for it.
        overdue = minutes is not None and self.process_group.any_rank(
            self.state.seconds >= 60 * minutes
        )
        return self.state.step < self.total and improving and not overdue

    def at_interval(self, every: int | None) -> bool:
        """Return `True` if the number of updates is a multiple of `every`; never for `None`."""
        return every is not None and self.state.step % every == 0

    def count_update(self, numbers: Tensor, batches: int) -> None:
        """Count an update of some batches; record and save when it is time to.

        Args:
            numbers: from `Updater`.
            batches: number of batches.
        """
        self.state.step += 1
        self.state.batches_done += batches
        self._unread.append(numbers)
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now
        every = self.settings.log_every
        if len(self._unread) >= every or self.at_interval(every):
            self._read_numbers()
        if self.out is not None and now - self._saved >= self.settings.save_seconds:
            self.save()
        speed = self.state.targets / max(self.state.seconds, 1e-9)
        self.callback.on_step(
            Progress(self.state.step, self.total, self.state.epoch + 1, self.loss, speed)
        )

    def _read_numbers(self) -> None:
        """Read the numbers of the latest updates; stop if one is not finite.

        To read a number waits for the device, so that is done once for many updates.
        """
        if not self._unread:
            return
        first = self.state.step - len(self._unread) + 1
        for step, (loss, count, norm) in enumerate(torch.stack(self._unread).tolist(), first):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._fail(step, "the loss" if not math.isfinite(loss) else "the gradient")
            sums = self.state.running
            self.state.running = Running(
                sums.loss + loss,
                sums.targets + count,
                sums.gradient_norm + norm,
                sums.updates + 1,
            )
            self.state.targets += count
            if step % self.settings.log_every == 0 or step == self.total:
                self._add_training_record(step)
        self._unread.clear()

    def _add_training_record(self, step: int) -> None:
        sums = self.state.running
        self.loss = sums.loss / sums.targets
        self._add(
            {
                "step": step,
                "epoch": self.state.epoch + 1,
                "train_loss": self.loss,
                "learning_rate": learning_rate(step, self.total, self.settings),
                "gradient_norm": sums.gradient_norm / sums.updates,
                "seconds": round(self.state.seconds, 3),
            }
        )
        self.state.running = Running()

    def _add(self, record: Record) -> None:
        self.history.add(record)
        if self._tensorboard is not None:
            self._tensorboard.add(record)

    def _fail(self, step: int, what: str) -> NoReturn:
        kept = ""
        if self.out is not None:
            saved = any((self.out / name).is_file() for name in (WEIGHTS_FILE, RUN_FILE))
            kept = f"; {self.out} keeps the last good state" if saved else "; nothing was saved yet"
        raise TrainingError(
            f"{what} is no longer a number at epoch {self._epoch_number()}, step {step}{kept}: "
            "try a lower learning_rate, a longer warmup, clip=1 or precision=float32"
        )

    def _epoch_number(self) -> int:
        """Number of the epoch that the latest update belongs to, from 1."""
        return self.state.epoch + (self.state.batches_done > 0)

    def next_epoch(self) -> None:
        """Count an epoch."""
        self.state.epoch += 1
        self.state.batches_done = 0

    def stop_if_interrupted(self, signals: DeferredSignals) -> None:
        """Save and raise if a signal came, to this process or another."""
        if self.process_group.any_rank(signals.signal is not None):
            self.save()
            raise Interrupted(self.out, signals.signal or signal.SIGTERM)

    def validate(self, signals: DeferredSignals) -> None:
        """Validate unless that was just done; keep the weights if they are the best so far."""
        if self.state.validated_step == self.state.step:
            return
        # Saved as pending first: if the process ends meanwhile, the validation is done again.
        self.state.validation_pending = True
        self.save()
        self.stop_if_interrupted(signals)
        # A signal need not wait for the end of a validation that would be repeated anyway. With other
        # processes waiting for this one it has to: they would wait for ever.
        alone = self.process_group.world_size == 1
        try:
            with signals.raising() if alone else nullcontext():
                best = self._validate() if self.process_group.is_main else False
        except KeyboardInterrupt:
            raise Interrupted(self.out, signals.signal or signal.SIGINT) from None
        self.state.validation_pending, self.state.validated_step = False, self.state.step
        improved = self.process_group.any_rank(best)  # only the main process knows
        since = self.state.validations_since_best
        self.state.validations_since_best = 0 if improved else since + 1
        self.save()
        self._clock = time.monotonic()  # validation does not count as training time

    def _validate(self) -> bool:
        """Measure the model and return whether it is the best so far; if so, write its weights."""
        self.callback.on_validation_start()
        with self.updater.averaged() as model:
            metrics = self._metrics(model)
            if not math.isfinite(metrics.get("loss", 0.0)):
                self._fail(self.state.step, "the loss on the validation part")
            value = metrics[self.settings.metric]
            best = better(self.settings.metric, value, self.state.best)
            if best:
                self.state.best = value
                if self.out is not None:
                    save_weights(model, self.out / WEIGHTS_FILE)
        position = {"step": self.state.step, "epoch": self._epoch_number()}
        named = {f"valid_{name}": number for name, number in metrics.items()}
        self._add({**position, "seconds": round(self.state.seconds, 3), **named})
        self.callback.on_validation_end(metrics, best=best)
        return best

    def save(self) -> None:
        """Write the state of the run, unless a number or a weight is not finite: then stop."""
        self._read_numbers()
        if not self.updater.finite:
            self._fail(self.state.step, "a weight")
        self._saved = time.monotonic()
        if self.out is not None and self.process_group.is_main:
            save_run(self.out, self.state, self.history, self.updater.tensors())
            self.history.save(self.out / "history.jsonl")
