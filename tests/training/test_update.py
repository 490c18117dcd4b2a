"""One update: the gradient it takes, the rate it takes it with, the average it keeps."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from regard.training import (
    Batch,
    Loss,
    ProcessGroup,
    TrainingSettings,
    learning_rate,
    smoothed_cross_entropy,
)
from regard.training.batch import labelled_batch
from regard.training.update import Updater, uses_bfloat16

PLAIN = TrainingSettings(
    schedule="constant", warmup=0, clip=0, weight_decay=0, learning_rate=0.01, precision="float32"
)


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 1, 0.25),  # a quarter of the warm-up
        ("inverse_sqrt", 4, 1.0),
        ("inverse_sqrt", 16, 0.5),  # sqrt(4 / 16)
        ("linear", 14, 0.5),  # ten of twenty after the warm-up
        ("linear", 24, 0.0),
        ("cosine", 9, (1 + math.cos(math.pi / 4)) / 2),
        ("cosine", 24, 0.0),
        ("constant", 24, 1.0),
    ],
)
def test_rate_by_hand(schedule: str, step: int, expected: float) -> None:
    settings = TrainingSettings(schedule=schedule, warmup=4, learning_rate=1.0)
    assert learning_rate(step, 24, settings) == pytest.approx(expected, abs=1e-12)


def test_a_short_run_still_reaches_its_rate() -> None:
    settings = TrainingSettings(warmup=1000, learning_rate=1.0)
    assert max(learning_rate(step, 10, settings) for step in range(1, 11)) == 1.0


@given(st.sampled_from(["inverse_sqrt", "linear", "cosine", "constant"]), st.integers(1, 3000))
def test_rate_stays_between_nothing_and_all(schedule: str, step: int) -> None:
    settings = TrainingSettings(schedule=schedule, warmup=7, learning_rate=0.3)
    assert 0 <= learning_rate(step, 1000, settings) <= 0.3


def test_smoothed_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 1.0]], dtype=torch.float64)
    targets = torch.tensor([1, 0])  # probabilities 1/4 and 3/4; the second target is padding
    expected = -0.9 * math.log(3 / 4) - 0.05 * (math.log(1 / 4) + math.log(3 / 4))
    found = smoothed_cross_entropy(logits, targets, smoothing=0.1)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_groups_of_any_size_give_the_gradient_of_their_mean(toy: ModuleType) -> None:
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


def slope(model: nn.Module, batch: Batch) -> Loss:
    return Loss((model.w * batch.source.float()).sum(), len(batch))


def batch_of(*values: float) -> Batch:
    ones = torch.ones(len(values), dtype=torch.int64)
    return Batch(torch.tensor(values), ones, None, ones)


def test_norm_is_of_the_mean_and_clipping_bounds_it() -> None:
    updater = Updater(
        Line(), PLAIN.model_copy(update={"clip": 0.5}), total=10, process_group=ProcessGroup()
    )
    seen: list[float] = []
    updater.parameters[0].register_post_accumulate_grad_hook(lambda p: None)
    step = updater.optimizer.step
    updater.optimizer.step = lambda: (seen.append(float(updater.parameters[0].grad)), step())
    numbers = updater(slope, [batch_of(2.0, 4.0)], 1)
    assert numbers.tolist() == [6.0, 2.0, 3.0]  # sum, count, norm of the mean (2 + 4) / 2
    assert seen == [pytest.approx(0.5)]


def test_average_by_hand() -> None:
    model = Line()
    settings = PLAIN.model_copy(update={"ema": 0.5, "learning_rate": 0.1})
    updater = Updater(model, settings, total=10, process_group=ProcessGroup())
    updater(slope, [batch_of(1.0)], 1)  # Adam moves by the rate: 1.0 -> 0.9
    decay = 2 / 11
    assert updater.average is not None
    expected = decay * 1.0 + (1 - decay) * 0.9
    assert float(updater.average["w"]) == pytest.approx(expected, abs=1e-5)
    with updater.averaged() as averaged:
        assert float(averaged.w) == pytest.approx(expected, abs=1e-5)
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


def test_parts_of_a_batch_are_all_of_it() -> None:
    whole = batch_of(1.0, 2.0, 3.0, 4.0, 5.0)
    parts = [whole.part(rank, 3) for rank in range(3)]
    assert [part and part.source.tolist() for part in parts] == [[1.0, 4.0], [2.0, 5.0], [3.0]]
    assert batch_of(1.0).part(1, 2) is None


def test_ignored_targets_have_no_gradient() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    targets = torch.tensor([[1, 4, 0], [2, 0, 0]])
    smoothed_cross_entropy(logits, targets, smoothing=0.1).backward()
    assert logits.grad is not None
    assert bool((logits.grad[targets == 0] == 0).all())
    plain = F.cross_entropy(logits.flatten(0, 1)[:2], torch.tensor([1, 4]), reduction="sum")
    rest = F.cross_entropy(logits[1, :1], torch.tensor([2]), reduction="sum")
    torch.testing.assert_close(smoothed_cross_entropy(logits, targets), plain + rest)
