"""The progress bar: which loss is shown, and what is left."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from regard.api.progress import TrainingBar, WatchedEngine, time_left
from regard.engines import Done
from regard.training import Progress
from tests.engines.shard_work import Sent, Where
from tests.pickled_engine import PickledEngine


def progress(step: int, loss: float | None, done: float) -> Progress:
    return Progress(step, 1200, 3, loss, 5000.0, done)


def test_a_validation_line_names_both_losses() -> None:
    bar = TrainingBar()
    bar.console = Console(file=io.StringIO(), width=200)
    bar.on_step(progress(300, 2.5, 0.25))
    bar.on_validation_end({"loss": 2.75, "bleu": 31.04}, best=True)
    assert isinstance(bar.console.file, io.StringIO)
    line = bar.console.file.getvalue()
    assert line == "epoch   3  update    300  train loss 2.500  valid loss 2.75  bleu 31.04  *\n"


def test_before_the_first_loss_nothing_is_made_up() -> None:
    bar = TrainingBar()
    bar.console = Console(file=io.StringIO(), width=200)
    bar.on_step(progress(1, None, 0.0))
    bar.on_validation_end({"loss": 2.75}, best=False)
    assert isinstance(bar.console.file, io.StringIO)
    assert "train" not in bar.console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "begun", "done", "left"),
    [
        (60.0, 0.0, 0.25, "0:03:00"),
        (60.0, 0.5, 0.75, "0:01:00"),  # resumed in the middle
        (4000.0, 0.0, 0.5, "1:06:40"),
        (60.0, 0.25, 0.25, "-"),
        (60.0, 0.0, 1.0, "0:00:00"),
    ],
)
def test_what_is_left_follows_from_the_share_done(
    seconds: float, begun: float, done: float, left: str
) -> None:
    assert time_left(seconds, begun, done) == left


def test_a_watched_engine_gives_what_the_engine_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    class Bar:
        def __init__(self, count: Callable[[], int | None], *, unit: str) -> None:
            seen.append((count(), unit))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def on_texts(self, done: int) -> None:
            seen.append(done)

    monkeypatch.setattr("regard.api.progress.TextsBar", Bar)
    watched = WatchedEngine(PickledEngine())
    shards: list[int | Done[Where]] = [Done(Where(3, 0, None)), 7]
    assert [each.shard for each in watched.run(lambda _: Sent(), shards)] == [3, 7]
    assert seen == [(2, "batches"), 1, 2]
    assert len([*watched.run(lambda _: Sent(), iter([1]))]) == 1
    assert seen[3] == (None, "batches")
