"""One update: its gradient, clipping, weight decay, precision and moving average."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from regard.training import (
    Batch,
    Loss,
    ProcessGroup,
    TrainingSettings,
)
from regard.training.batch import labelled_batch
from regard.training.update import Updater, uses_bfloat16

PLAIN = TrainingSettings(
    schedule="constant", warmup=0, clip=0, weight_decay=0, learning_rate=0.01, precision="float32"
)


def test_accumulated_batches_of_any_size_give_the_gradient_of_the_mean(toy: ModuleType) -> None:
    whole = labelled_batch(toy.TEXTS, toy.LABELS, range(toy.COUNT))
    uneven = [labelled_batch(toy.TEXTS, toy.LABELS, list(r)) for r in (range(3), range(3, 101))]
    changed = []
    for group in ([whole], uneven):
        model = toy.Toy(dropout=0.0)
        updater = Updater(model, PLAIN, total=10, process_group=ProcessGroup())
        numbers = updater(toy.loss, group, 1)
        assert float(numbers[1]) == toy.COUNT
        changed.append((float(numbers[0]), float(numbers[2]), model.out.weight.detach().clone()))
    assert changed[0][0] == pytest.approx(changed[1][0], rel=1e-6)
    assert changed[0][1] == pytest.approx(changed[1][1], rel=1e-5)
    torch.testing.assert_close(changed[0][2], changed[1][2], rtol=0, atol=1e-6)


class Line(nn.Module):
    """y = w x, whose gradients are known."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))


def linear_loss(model: Any, batch: Batch) -> Loss:
    return Loss((model.w * batch.source.float()).sum(), len(batch))


def batch_of(*values: float) -> Batch:
    ones = torch.ones(len(values), dtype=torch.int64)
    return Batch(torch.tensor(values), ones, None, ones)


def test_clipping_bounds_the_norm_of_the_mean() -> None:
    updater = Updater(
        Line(), PLAIN.model_copy(update={"clip": 0.5}), total=10, process_group=ProcessGroup()
    )
    seen: list[float] = []

    def record(*_: object) -> None:
        gradient = updater.parameters[0].grad
        assert gradient is not None
        seen.append(float(gradient))

    updater.optimizer.register_step_pre_hook(record)
    numbers = updater(linear_loss, [batch_of(2.0, 4.0)], 1)
    # Sum, count, norm of the mean (2 + 4) / 2, plain sum.
    assert numbers.tolist() == [6.0, 2.0, 3.0, 6.0]
    assert seen == [pytest.approx(0.5)]


def test_average_by_hand() -> None:
    model = Line()
    settings = PLAIN.model_copy(update={"ema": 0.5, "learning_rate": 0.1})
    updater = Updater(model, settings, total=10, process_group=ProcessGroup())
    updater(linear_loss, [batch_of(1.0)], 1)  # Adam moves by the rate: 1.0 -> 0.9
    decay = 2 / 11
    assert updater.average is not None
    expected = decay * 1.0 + (1 - decay) * 0.9
    assert float(updater.average["w"]) == pytest.approx(expected, abs=1e-5)
    with updater.averaged() as averaged:
        assert averaged.state_dict()["w"].item() == pytest.approx(expected, abs=1e-5)
        assert not averaged.training
    assert model.w.item() == pytest.approx(0.9, abs=1e-5)
    assert model.training


def test_only_matrices_decay(toy: ModuleType) -> None:
    model = toy.Toy()
    settings = PLAIN.model_copy(update={"weight_decay": 0.5})
    groups = Updater(model, settings, total=1, process_group=ProcessGroup()).optimizer.param_groups
    assert [id(p) for p in groups[0]["params"]] == [id(model.out.weight)]
    assert groups[1]["weight_decay"] == 0
    assert {id(p) for p in groups[1]["params"]} == {id(model.embedding.weight), id(model.out.bias)}


def test_bfloat16_is_near_float32(toy: ModuleType) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        settings = PLAIN.model_copy(update={"precision": precision})
        updater = Updater(toy.Toy(0.0), settings, total=10, process_group=ProcessGroup())
        found.append(updater(toy.loss, list(toy.batches(0)), 1))
    assert uses_bfloat16(PLAIN, torch.device("cpu")) is False
    assert found[0][0] != found[1][0]
    torch.testing.assert_close(found[0], found[1], rtol=0.02, atol=0)


def test_dropout_follows_from_seed_and_step_alone(toy: ModuleType) -> None:
    def first(seed: int, step: int) -> float:
        settings = PLAIN.model_copy(update={"seed": seed})
        updater = Updater(toy.Toy(0.5), settings, total=10, process_group=ProcessGroup())
        return float(updater(toy.loss, [toy.batches(0)[0]], step)[0])

    assert first(1, 3) == first(1, 3)
    assert len({first(1, 3), first(1, 4), first(2, 3)}) == 3
