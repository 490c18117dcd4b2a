"""The training loop, and the bookkeeping around it: records, checkpoints, validation, when to stop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn

from regard.errors import TrainingError
from regard.files import remove_unfinished
from regard.training.batch import Divisible
from regard.training.callbacks import Callback, Progress
from regard.training.checkpoint import (
    HISTORY_FILE,
    RUN_FILE,
    WEIGHTS_FILE,
    Running,
    RunState,
    read_run,
    save_run,
    save_weights,
)
from regard.training.distributed import ProcessGroup
from regard.training.history import History, Record, metrics_of
from regard.training.interrupt import DeferredSignals, Interrupted
from regard.training.loss import Loss
from regard.training.ranking import Ranking
from regard.training.schedule import learning_rate
from regard.training.settings import TrainingSettings
from regard.training.tensorboard import TensorboardWriter
from regard.training.update import Updater

__all__ = ["fit"]

B = TypeVar("B", bound=Divisible)


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, B], Loss],
    batches: Callable[[int], Sequence[B]],
    *,
    settings: TrainingSettings,
    validate: Callable[[nn.Module], dict[str, float]],
    ranking: Ranking | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    records: Sequence[Record] = (),
    callback: Callback | None = None,
    process_group: ProcessGroup | None = None,
    belongs_to: str = "",
    on_weights: Callable[[], Path] | None = None,
) -> History:
    """Train `model`, leaving the best weights in `out`.

    Args:
        model: changed in place; ends with the last weights (`out/model.safetensors` has the best).
        loss: the summed loss of a batch.
        batches: the batches of an epoch (from 0). Must return equal batches for equal epochs, so that
            a run can continue inside one.
        settings: of the run.
        validate: metrics of the model as it is, without dropout; `settings.metric` must be among them.
        ranking: order of the validations; `None` for that of `settings.metric`, ties by the loss.
        out: folder for best weights, history and state; `None` writes nothing.
        resume: continue the run in `out`, to exactly the losses of one that was never interrupted.
        records: with which the history of a new run begins.
        callback: informed of progress.
        process_group: processes that train together.
        belongs_to: identity of the other files in `out`, which weights and state are to carry.
        on_weights: called in every process once `out` holds the first weights and the state of the run;
            may move them, and returns the folder where the run goes on.

    Returns:
        Training and validation records.

    Raises:
        TrainingError: a loss or weight is no longer finite; names epoch and step. `out` keeps the last
            good state.
        Interrupted: SIGINT, SIGTERM, SIGHUP or SIGUSR1 came; everything is saved.
    """
    process_group = process_group or ProcessGroup()
    model.to(process_group.device).train()
    total = settings.steps or settings.epochs * _updates(batches(0), settings)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        total = 0  # everything is solved; what remains is to validate and save it
    updater = Updater(model, settings, total=total, process_group=process_group)
    ranking = ranking or Ranking(settings.metric, ties=("loss",))
    every = settings.validate_every
    folder = Path(out) if out is not None else None
    run = _Run(updater, validate, ranking, folder, callback or Callback(), belongs_to, on_weights)
    for record in records:
        run.history.add(record)
    if resume:
        run.restore()
        run.hand_over()  # the earlier process ended right before that
    with DeferredSignals() as signals:
        # The earlier process may have ended during a validation, or right before it.
        if run.state.validation_pending or (run.state.step and run.at_interval(every)):
            run.validate(signals)
        while run.unfinished():
            epoch = batches(run.state.epoch)
            while run.state.batches_done < len(epoch) and run.unfinished():
                done = run.state.batches_done
                group = epoch[done : done + settings.accumulate]
                numbers = updater(loss, group, run.state.step + 1)
                run.count_update(numbers, len(group))
                if run.at_interval(every):
                    run.validate(signals)
                run.stop_if_interrupted(signals)
            if run.state.batches_done >= len(epoch):
                run.next_epoch()
                if every is None:
                    run.validate(signals)
        run.validate(
            signals
        )  # the last weights, unless that was just done; those of no update, too
    updater.close()
    return run.history


def _updates(epoch: Sequence[object], settings: TrainingSettings) -> int:
    return math.ceil(len(epoch) / settings.accumulate)


class _Run:
    """State of a run, with everything that happens between updates.

    Attributes:
        state: position, as it is saved.
        history: records so far.
    """

    def __init__(
        self,
        updater: Updater,
        validate: Callable[[nn.Module], dict[str, float]],
        ranking: Ranking,
        out: Path | None,
        callback: Callback,
        belongs_to: str,
        on_weights: Callable[[], Path] | None,
    ) -> None:
        self.updater, self.out, self.callback = updater, out, callback
        self._belongs_to, self._on_weights = belongs_to, on_weights
        self.ranking = ranking
        self.settings, self.total = updater.settings, updater.total
        self.process_group = updater.process_group
        self.state, self.history = RunState(), History()
        self._metrics = validate
        self._tensorboard: TensorboardWriter | None = None
        self._unread: list[Tensor] = []  # numbers of the latest updates, still on the device
        self._saved = self._clock = time.monotonic()
        if out is not None and self.process_group.is_main:
            out.mkdir(parents=True, exist_ok=True)
            remove_unfinished(out)
            remove_unfinished((out / RUN_FILE).parent)
            if self.settings.tensorboard:
                self._tensorboard = TensorboardWriter(out / "tensorboard")

    def restore(self) -> None:
        """Go back to the state that was saved in `out`."""
        assert self.out is not None
        self.state, self.history, tensors = read_run(self.out, belongs_to=self._belongs_to)
        self.updater.restore(tensors, self.out / RUN_FILE)

    def hand_over(self) -> None:
        """Let the folder be moved once it holds weights and the state that goes with them."""
        if self._on_weights is not None and self.history.validations:
            self.out = self._on_weights()
            self._on_weights = None

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
        # On a processor there is nothing to wait for, so the loss that is shown is always the latest.
        every = self.settings.log_every if self.process_group.device.type != "cpu" else 1
        if len(self._unread) >= every or self.at_interval(self.settings.log_every):
            self._read_numbers()
        due = self.out is not None and now - self._saved >= self.settings.save_seconds
        if self.process_group.any_rank(due) if self.settings.sharded else due:
            self.save()
        self._report_progress()

    def _report_progress(self) -> None:
        state, minutes = self.state, self.settings.minutes
        since = state.since_validation
        made = state.step / self.total if self.total else 1.0
        done = max(made, state.seconds / (60 * minutes) if minutes else 0.0)
        self.callback.on_step(
            Progress(
                step=state.step,
                total=self.total,
                epoch=self._epoch_number(),
                loss=since.loss / since.targets if since.targets else None,
                targets_per_second=state.targets / max(state.seconds, 1e-9),
                done=min(1.0, done),
            )
        )

    def _read_numbers(self) -> None:
        """Read the numbers of the latest updates; stop if one is not finite.

        To read a number waits for the device, so that is done once for many updates.
        """
        if not self._unread:
            return
        first = self.state.step - len(self._unread) + 1
        for step, numbers in enumerate(torch.stack(self._unread).tolist(), first):
            loss, count, norm, plain = numbers
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._fail(step, "the loss" if not math.isfinite(loss) else "the gradient")
            self.state.running = self.state.running.plus(plain, count, norm)
            self.state.since_validation = self.state.since_validation.plus(plain, count, norm)
            self.state.targets += count
            if step % self.settings.log_every == 0 or step == self.total:
                self._add_training_record(step)
        self._unread.clear()

    def _add_training_record(self, step: int) -> None:
        sums = self.state.running
        self._add(
            {
                "step": step,
                "epoch": self.state.epoch + 1,
                "train_loss": sums.loss / sums.targets,
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
        if self.state.validated_step == self.state.step and (
            self.total or self.history.validations
        ):
            return
        # Saved as pending first: if the process ends meanwhile, the validation is done again.
        self.state.validation_pending = True
        self.save()
        self._report_progress()  # with the numbers that `save` has read
        self.stop_if_interrupted(signals)
        # A signal need not wait for the end of a validation that would be repeated anyway. With other
        # processes waiting for this one it has to: they would wait for ever.
        alone = self.process_group.world_size == 1
        try:
            # The weights are asked for by all: where they are divided, the main process has them whole.
            with signals.raising() if alone else nullcontext(), self.updater.averaged() as model:
                waits = self._validate(model) if self.process_group.is_main else False
        except KeyboardInterrupt:
            raise Interrupted(self.out, signals.signal or signal.SIGINT) from None
        self.state.validation_pending, self.state.validated_step = False, self.state.step
        waits = self.process_group.any_rank(waits)  # only the main process knows
        self.state.validations_since_best = self.state.validations_since_best + 1 if waits else 0
        self.state.since_validation = Running()
        self.save()
        self.hand_over()
        self._clock = time.monotonic()  # validation does not count as training time

    def _validate(self, model: nn.Module) -> bool:
        """Measure the model; if it is the best so far, write its weights.

        Returns:
            Whether the run is one validation nearer to the end of its patience: this one is not
            better, and the metric has left its floor.
        """
        self.callback.on_validation_start()
        best = self.history.best(self.ranking)
        metrics = self._metrics(model)
        if not math.isfinite(metrics.get("loss", 0.0)):
            self._fail(self.state.step, "the loss on the validation part")
        outcome = self.ranking.compare(metrics, metrics_of(best) if best else None)
        if outcome.better and self.out is not None:
            save_weights(model, self.out / WEIGHTS_FILE, belongs_to=self._belongs_to)
        position = {"step": self.state.step, "epoch": self._epoch_number()}
        named = {f"valid_{name}": number for name, number in metrics.items()}
        decision = {"best": outcome.better, "decided_by": outcome.decided_by}
        self._add({**position, "seconds": round(self.state.seconds, 3), **named, **decision})
        self.callback.on_validation_end(metrics, best=outcome.better)
        reached = metrics if outcome.better or best is None else metrics_of(best)
        return not outcome.better and self.ranking.measured(reached)

    def save(self) -> None:
        """Write the state of the run, unless a number or a weight is not finite: then stop."""
        self._read_numbers()
        if not self.updater.finite:
            self._fail(self.state.step, "a weight")
        self._saved = time.monotonic()
        if self.out is None or not (self.process_group.is_main or self.settings.sharded):
            return
        tensors = self.updater.tensors()
        if self.process_group.is_main:
            # The history first: a run that is killed in between has no line less than its state.
            self.history.save(self.out / HISTORY_FILE)
            save_run(self.out, self.state, self.history, tensors, belongs_to=self._belongs_to)
