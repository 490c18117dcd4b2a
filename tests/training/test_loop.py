"""The loop: records, stopping, and resuming to exactly the same losses."""

from __future__ import annotations

import itertools
import json
import math
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from regard.errors import ModelFolderError, TrainingError
from regard.training import (
    Batch,
    Callback,
    History,
    Interrupted,
    Loss,
    Progress,
    Ranking,
    fit,
    load_weights,
)
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE, read_run


def numbers(history: History) -> list[dict[str, float]]:
    """Records without the seconds."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def test_it_learns_and_writes_records(toy: ModuleType, tmp_path: Path) -> None:
    history = toy.run(tmp_path, epochs=6, dropout=0.0)
    updates = 6 * math.ceil(math.ceil(toy.COUNT / toy.BATCH) / 2)
    steps = [record["step"] for record in history if "train_loss" in record]
    assert steps == [*range(4, updates, 4), updates]
    assert history.losses[-1] < 0.6 * history.losses[0]
    best = history.best("accuracy")
    assert best is not None
    assert best["valid_accuracy"] > 0.85
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history.records


def test_a_training_record_is_the_mean_since_the_one_before(toy: ModuleType) -> None:
    seen: list[tuple[float, int]] = []

    def noted(model: nn.Module, batch: Batch) -> Loss:
        loss = toy.loss(model, batch)
        seen.append((float(loss.value.detach()), loss.count))
        return loss

    settings = toy.SETTINGS
    history = fit(toy.Toy(), noted, toy.batches, settings=settings, validate=toy.validate)
    records = [record for record in history if "train_loss" in record]
    ends = [0, *(record["step"] for record in records)]
    batches = math.ceil(toy.COUNT / toy.BATCH)  # odd: the last update of an epoch has one
    updates = math.ceil(batches / settings.accumulate)
    calls = [step // updates * batches + step % updates * settings.accumulate for step in ends]
    assert len(records) > 2
    for record, start, stop in zip(records, calls, calls[1:], strict=False):
        total, targets = (sum(column) for column in zip(*seen[start:stop], strict=True))
        assert record["train_loss"] == pytest.approx(total / targets, rel=1e-6)


def test_a_signal_stops_a_validation_where_it_is(toy: ModuleType, tmp_path: Path) -> None:
    beyond = []

    def interrupted(model: nn.Module) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        beyond.append(True)
        return {"accuracy": 1.0}

    with pytest.raises(Interrupted) as stopped:
        fit(
            toy.Toy(),
            toy.loss,
            toy.batches,
            settings=toy.SETTINGS,
            validate=interrupted,
            out=tmp_path,
        )
    assert stopped.value.signal == signal.SIGTERM
    assert not beyond


def test_best_weights_are_the_averaged_ones_that_were_measured(
    toy: ModuleType, tmp_path: Path
) -> None:
    history = toy.run(tmp_path)
    model = toy.Toy()
    load_weights(model, tmp_path / WEIGHTS_FILE)
    best = history.best("accuracy")
    assert best is not None
    assert toy.validate(model.eval())["accuracy"] == best["valid_accuracy"]


@pytest.mark.parametrize("at", [1, 7, 8, 9, 13])
def test_resuming_gives_the_losses_of_an_uninterrupted_run(
    toy: ModuleType, tmp_path: Path, at: int
) -> None:
    whole = toy.run(None)

    class Stop(Exception):
        pass

    calls = itertools.count(1)

    def failing(model: nn.Module, batch: Batch) -> Any:
        if next(calls) > 2 * at:
            raise Stop
        return toy.loss(model, batch)

    with pytest.raises(Stop):
        fit(
            toy.Toy(),
            failing,
            toy.batches,
            settings=toy.SETTINGS,
            validate=toy.validate,
            out=tmp_path,
        )
    assert read_run(tmp_path)[0].step <= at
    resumed = toy.run(tmp_path, resume=True)
    assert numbers(resumed) == numbers(whole)


def test_an_interrupted_validation_is_repeated(toy: ModuleType, tmp_path: Path) -> None:
    whole = toy.run(None)

    def interrupted(model: nn.Module) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            toy.Toy(),
            toy.loss,
            toy.batches,
            settings=toy.SETTINGS,
            validate=interrupted,
            out=tmp_path,
        )
    assert numbers(toy.run(tmp_path, resume=True)) == numbers(whole)


def test_resuming_a_finished_run_changes_nothing(toy: ModuleType, tmp_path: Path) -> None:
    whole = toy.run(tmp_path)
    assert toy.run(tmp_path, resume=True).records == whole.records


def test_writing_or_not_makes_no_difference(toy: ModuleType, tmp_path: Path) -> None:
    assert numbers(toy.run(None)) == numbers(toy.run(tmp_path, save_seconds=1e9))


def test_nothing_to_resume(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="no such file"):
        toy.run(tmp_path, resume=True)


def test_steps_repeat_epochs(toy: ModuleType) -> None:
    history = toy.run(None, steps=30, epochs=1)
    assert history.records[-1]["step"] == 30
    assert history.records[-1]["epoch"] == 4  # 8 updates make an epoch: the fourth is under way


def test_validation_at_an_interval_of_updates(toy: ModuleType) -> None:
    history = toy.run(None, validate_every=5, epochs=2)
    assert [r["step"] for r in history if "valid_accuracy" in r] == [5, 10, 15, 16]


def test_stops_when_nothing_improves(toy: ModuleType) -> None:
    values = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    history = fit(
        toy.Toy(),
        toy.loss,
        toy.batches,
        settings=toy.SETTINGS.model_copy(update={"patience": 2, "epochs": 9}),
        validate=lambda model: {"accuracy": next(values)},
    )
    assert [r["valid_accuracy"] for r in history if "valid_accuracy" in r] == [0.5, 0.7, 0.6, 0.7]


def validated(
    toy: ModuleType, rows: list[dict[str, float]], ranking: Ranking, out: Path | None = None
) -> History:
    """A run with a patience of two, whose validations find the given figures."""
    found = iter(rows)
    return fit(
        toy.Toy(),
        toy.loss,
        toy.batches,
        settings=toy.SETTINGS.model_copy(update={"patience": 2, "epochs": len(rows)}),
        validate=lambda model: next(found),
        ranking=ranking,
        out=out,
    )


def test_ties_of_the_metric_are_decided_and_the_record_says_by_which_figure(
    toy: ModuleType,
) -> None:
    rows = [
        {"accuracy": accuracy, "loss": loss}
        for accuracy, loss in ((0.5, 2.0), (0.5, 1.5), (0.7, 1.9), (0.7, 1.9), (0.7, 1.8))
    ]
    history = validated(toy, rows, Ranking("accuracy", ("loss",)))
    assert [(r["best"], r["decided_by"]) for r in history.validations] == [
        (True, None),
        (True, "loss"),
        (True, "accuracy"),
        (False, None),
        (True, "loss"),
    ]


def test_patience_does_not_run_while_the_metric_is_at_its_floor(
    toy: ModuleType, tmp_path: Path
) -> None:
    ranking = Ranking("bleu", ("loss",), {"bleu": 1.0})
    at_floor = [{"bleu": b, "loss": 2.0} for b in (0.9, 0.0, 0.3, 0.0)]
    rows = [*at_floor, *[{"bleu": b, "loss": 2.0} for b in (7.0, 6.0, 0.0, 9.0)]]
    history = validated(toy, rows, ranking, tmp_path)
    assert [r["valid_bleu"] for r in history.validations] == [0.9, 0.0, 0.3, 0.0, 7.0, 6.0, 0.0]
    assert [r["best"] for r in history.validations] == [True, *[False] * 3, True, False, False]
    assert read_run(tmp_path)[0].validations_since_best == 2


def test_a_resumed_run_compares_with_the_best_before(toy: ModuleType, tmp_path: Path) -> None:
    ranking = Ranking("accuracy", ("loss",))

    def run(rows: list[dict[str, float]], *, resume: bool) -> History:
        found = iter(rows)
        return fit(
            toy.Toy(),
            toy.loss,
            toy.batches,
            settings=toy.SETTINGS.model_copy(update={"epochs": 3}),
            validate=lambda model: next(found),
            ranking=ranking,
            out=tmp_path,
            resume=resume,
        )

    with pytest.raises(StopIteration):  # the second validation finds no figures
        run([{"accuracy": 0.5, "loss": 1.0}], resume=False)
    history = run([{"accuracy": 0.5, "loss": 1.5}, {"accuracy": 0.5, "loss": 0.9}], resume=True)
    assert [r["best"] for r in history.validations] == [True, False, True]


class Shown(Callback):
    """Progress before each validation, and after each update."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.at_validation: list[Progress] = []

    def on_step(self, progress: Progress) -> None:
        self.steps.append(progress)

    def on_validation_start(self) -> None:
        self.at_validation.append(self.steps[-1])


def test_the_loss_shown_is_the_mean_since_the_latest_validation(toy: ModuleType) -> None:
    seen: list[tuple[float, int]] = []

    def noted(model: nn.Module, batch: Batch) -> Loss:
        loss = toy.loss(model, batch)
        seen.append((float(loss.value.detach()), loss.count))
        # What is shown is the plain loss, whatever is trained on.
        return Loss(7 * loss.value, loss.count, loss.value.detach())

    shown = Shown()
    settings = toy.SETTINGS.model_copy(update={"epochs": 2, "log_every": 1000})
    fit(toy.Toy(), noted, toy.batches, settings=settings, validate=toy.validate, callback=shown)
    each = len(toy.batches(0))
    assert [p.epoch for p in shown.at_validation] == [1, 2]
    for progress, calls in zip(shown.at_validation, (seen[:each], seen[each:]), strict=True):
        total, targets = (sum(column) for column in zip(*calls, strict=True))
        assert progress.loss == pytest.approx(total / targets, rel=1e-6)
    assert shown.steps[0].loss == pytest.approx(sum(v for v, _ in seen[:2]) / (2 * toy.BATCH))
    assert [p.done for p in shown.steps if p.step == p.total] == [1.0, 1.0]
    assert shown.steps[0].done == 1 / shown.steps[0].total


def test_the_share_done_knows_the_minutes(toy: ModuleType) -> None:
    shown = Shown()
    settings = toy.SETTINGS.model_copy(update={"minutes": 1e-9})
    fit(toy.Toy(), toy.loss, toy.batches, settings=settings, validate=toy.validate, callback=shown)
    assert shown.steps[-1].step == 1
    assert shown.steps[-1].done == 1.0


def test_a_new_history_begins_with_given_records(toy: ModuleType, tmp_path: Path) -> None:
    record = {"step": 0, "finding": "x", "message": "y"}

    def run(*, resume: bool) -> History:
        return fit(
            toy.Toy(),
            toy.loss,
            toy.batches,
            settings=toy.SETTINGS,
            validate=toy.validate,
            out=tmp_path,
            resume=resume,
            records=[record],
        )

    assert run(resume=False).records[0] == record
    assert [r for r in run(resume=True) if "finding" in r] == [record]


def test_stops_in_time(toy: ModuleType) -> None:
    history = toy.run(None, minutes=1e-9, epochs=1000)
    assert history.records[-1]["step"] == 1
    assert "valid_accuracy" in history.records[-1]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nan_stops_the_run_names_the_step_and_keeps_the_last_good_state(
    toy: ModuleType, tmp_path: Path, what: str
) -> None:
    calls = itertools.count(1)

    def with_nan(model: Any, batch: Batch) -> Any:
        good, is_bad = toy.loss(model, batch), next(calls) == 2 * 10 + 1
        if is_bad and what == "loss":
            return Loss(good.value * torch.nan, good.count)
        if is_bad:
            # A finite loss with an infinite gradient.
            return Loss(good.value + (model.out.bias * 0).sqrt().sum(), good.count)
        return good

    with pytest.raises(TrainingError, match=rf"the {what} .* epoch 2, step 11.* last good state"):
        fit(
            toy.Toy(),
            with_nan,
            toy.batches,
            settings=toy.SETTINGS.model_copy(update={"save_seconds": 1e9}),
            validate=toy.validate,
            out=tmp_path,
        )
    state, _, tensors = read_run(tmp_path)
    assert state.step == 8
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert (tmp_path / RUN_FILE).is_file()


def test_infinite_weights_are_never_written(toy: ModuleType, tmp_path: Path) -> None:
    # The last update of the first epoch makes a weight infinite, though its loss is finite.
    calls = itertools.count(1)

    def with_infinite_weight(model: Any, batch: Batch) -> Any:
        if next(calls) == len(toy.batches(0)):
            model.embedding.weight.data[:] = torch.inf
            return Loss(model.out.bias.sum() * 0, len(batch))
        return toy.loss(model, batch)

    settings = toy.SETTINGS.model_copy(update={"save_seconds": 1e9, "ema": 0.0})
    with pytest.raises(TrainingError, match=r"a weight .* epoch 1, step 8; nothing was saved yet"):
        fit(
            toy.Toy(),
            with_infinite_weight,
            toy.batches,
            settings=settings,
            validate=toy.validate,
            out=tmp_path,
        )
    assert not (tmp_path / WEIGHTS_FILE).exists()
    assert not (tmp_path / RUN_FILE).exists()


def test_a_validation_loss_of_nan_stops_the_run_and_keeps_the_best(
    toy: ModuleType, tmp_path: Path
) -> None:
    # Huge weights are finite, but their answers may not be.
    calls = itertools.count(1)

    def validate(model: nn.Module) -> dict[str, float]:
        call = next(calls)
        return {"accuracy": float(call), "loss": math.nan if call > 1 else 0.5}

    what = "the loss on the validation part is no longer a number at epoch 2, step 16.* last good"
    with pytest.raises(TrainingError, match=what):
        fit(
            toy.Toy(),
            toy.loss,
            toy.batches,
            settings=toy.SETTINGS,
            validate=validate,
            out=tmp_path,
        )
    assert [r["valid_accuracy"] for r in read_run(tmp_path)[1].validations] == [1.0]
