"""`regard.fit`: any module, any data, the losses of one run however often it was stopped."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import regard
from regard.errors import InputError, ModelFolderError, SettingsError, TrainingError
from regard.training import Callback, History, Interrupted, Loss, Progress

COUNT, WIDTH = 37, 5
_numbers = torch.Generator().manual_seed(3)
X = torch.randn(COUNT, WIDTH, generator=_numbers)
Y = (X.sum(1) > 0).long()
QUICK: dict[str, Any] = {"epochs": 2, "learning_rate": 0.05, "log_every": 1, "save_seconds": 0}


class Toy(nn.Module):
    """Linear layers with dropout, batch norm and a mask of -inf in a buffer."""

    blocked: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(WIDTH, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(8, 2)
        self.register_buffer("blocked", torch.tensor([0.0, -math.inf]))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.dropout(self.norm(self.first(x)).relu()))
        return found


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """A dataset that changes its examples at random, by all three kinds of random numbers."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = torch.rand(()) + np.random.rand() + random.random()
        return X[index] + 0.1 * noise, Y[index]


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Examples in a row, without a length."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(X, Y, strict=True))


def batches() -> list[tuple[Tensor, Tensor]]:
    return list(zip(X.split(8), Y.split(8), strict=True))


KINDS: dict[str, Callable[[], Any]] = {
    "tensors": lambda: (X, Y),
    "dataset": lambda: TensorDataset(X, Y),
    "noisy dataset": Noisy,
    "loader": lambda: DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True),
    "loader with a generator": lambda: DataLoader(
        TensorDataset(X, Y), batch_size=8, shuffle=True, generator=torch.Generator()
    ),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=8),
    "list": batches,
    "function": lambda: lambda epoch: batches()[epoch:],
    "function that yields": lambda: lambda epoch: iter(batches()),
}


def run(data: Any, module: nn.Module | None = None, **options: Any) -> History:
    given = {"loss": nn.CrossEntropyLoss(), "settings": QUICK, "batch_size": 8, "progress": False}
    options = {**given, **options}
    if "step" in options:
        del options["loss"]
    return regard.fit(module or Toy(), data, **options)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(-1) == target).double().mean()


class _Ending(Callback):
    """Ends the process, more or less, after an update."""

    def __init__(self, step: int, end: Callable[[], None]) -> None:
        self._step, self._end = step, end

    def on_step(self, progress: Progress) -> None:
        if progress.step == self._step:
            self._end()


def _crash() -> None:
    raise RuntimeError("the power went")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_that_crashes_goes_on_with_the_same_losses(kind: str, tmp_path: Path) -> None:
    whole, half = Toy(), Toy()
    expected = run(KINDS[kind](), whole)
    with pytest.raises(RuntimeError, match="power"):
        run(KINDS[kind](), half, out=tmp_path, callback=_Ending(7, _crash))
    other = Toy()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    found = run(KINDS[kind](), other, out=tmp_path, resume=True)
    assert found.losses == expected.losses
    assert [r["valid_loss"] for r in found.validations] == [
        r["valid_loss"] for r in expected.validations
    ]
    for (name, one), two in zip(
        whole.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


def test_a_signal_stops_between_two_updates(tmp_path: Path) -> None:
    end = _Ending(6, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted) as stop:
        run((X, Y), out=tmp_path, callback=end)
    assert stop.value.folder == tmp_path
    found = run((X, Y), out=tmp_path, resume=True)
    assert found.losses == run((X, Y)).losses
    with pytest.raises(Interrupted) as stop:
        run((X, Y), callback=end)
    assert stop.value.folder is None


def test_the_best_weights_are_left_in_the_module_and_the_folder(tmp_path: Path) -> None:
    module = Toy()
    history = run((X, Y), module, out=tmp_path / "new" / "run", metrics={"accuracy": accuracy},
                  settings={**QUICK, "epochs": 5, "metric": "accuracy"})  # fmt: skip
    folder = tmp_path / "new" / "run"
    best = history.best("accuracy")
    assert best is not None
    assert best["valid_accuracy"] == pytest.approx(accuracy(module(X), Y).item(), abs=1e-12)
    assert not module.training
    stored = load_file(folder / "model.safetensors")
    assert {n: t.tolist() for n, t in stored.items()} == {
        n: t.tolist() for n, t in module.state_dict().items()
    }
    assert History.load(folder / "history.jsonl").records == history.records
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["fit.json", "history.jsonl", "history.png", "last", "model.safetensors"]


def test_means_weigh_every_example_alike_however_the_batches_fall() -> None:
    valid = [(X[:30], Y[:30]), (X[30:31], Y[30:31]), (X[31:], Y[31:])]
    module = Toy()
    history = run((X, Y), module, valid=valid, metrics={"accuracy": accuracy})
    with torch.no_grad():
        whole = nn.functional.cross_entropy(module(X).double(), Y).item()
    best = history.best("loss")
    assert best is not None
    assert best["valid_loss"] == pytest.approx(whole, rel=1e-5)
    assert best["valid_accuracy"] == pytest.approx(accuracy(module(X), Y).item())


def test_a_step_for_batches_of_any_form() -> None:
    data = [{"x": x, "labels": y} for x, y in batches()]

    def mean(module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(module(batch["x"]), batch["labels"])

    def summed(module: nn.Module, batch: dict[str, Tensor]) -> Loss:
        found = nn.functional.cross_entropy(module(batch["x"]), batch["labels"], reduction="sum")
        return Loss(found, len(batch["x"]))

    expected = run(batches())
    for step in (mean, summed):
        history = run(data, step=step)
        assert history.losses == pytest.approx(expected.losses, rel=1e-5)


def test_inputs_by_keyword_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(WIDTH, 2)
            nn.init.zeros_(self.linear.weight)

        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            found: Tensor = self.linear(x * scale)
            return found

    one = [(x, torch.ones(len(x), 1), y) for x, y in batches()]
    other = [({"scale": torch.ones(len(x), 1), "x": x}, y) for x, y in batches()]
    torch.manual_seed(0)
    first = run(one, Two()).losses
    torch.manual_seed(0)
    assert run(other, Two()).losses == first


def test_patience_stops_a_run_that_no_longer_improves() -> None:
    history = run((X, Y), settings={**QUICK, "epochs": 300, "patience": 2})
    assert 2 <= len(history.validations) < 300


def test_a_loss_that_is_no_number() -> None:
    bad = [(X[:4] * math.inf, Y[:4])]
    with pytest.raises(TrainingError, match=r"epoch 1, step 1"):
        run(bad)


WRONG: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "a generator": (lambda: (b for b in batches()), {}, r"generator can be read only once"),
    "a number": (lambda: 3, {}, r"cannot train on a int; expected a DataLoader"),
    "nothing": (list, {}, r"no batches in this list"),
    "tensors as batches": (lambda: [X, X], {}, r"a batch is a Tensor; loss needs \(\*inputs, target\)"),
    "one entry": (lambda: [(X,)], {}, r"a batch is a tuple with 1 entry"),
    "no tensor": (lambda: [("a", "b")], {"step": lambda m, b: m(X).sum()}, r"holds no tensor"),
    "no mean": (
        lambda: (X, Y), {"loss": nn.CrossEntropyLoss(reduction="none")}, r"a tensor of shape \(8,\)"
    ),
    "a float": (lambda: (X, Y), {"loss": lambda o, t: 0.5}, r"the loss returned 0.5"),
    "no gradient": (lambda: (X, Y), {"loss": lambda o, t: o.detach().sum()}, r"has no gradient"),
    "loss and step": (lambda: (X, Y), {"step": abs, "keep": True}, r"both came"),
    "no loss": (lambda: (X, Y), {"loss": None}, r"neither came"),
    "a metric of no number": (
        lambda: (X, Y), {"metrics": {"rows": lambda o, t: o}}, r"rows returned a tensor of shape"
    ),
    "a metric called loss": (lambda: (X, Y), {"metrics": {"loss": accuracy}}, r"cannot be called"),
    "an unknown metric": (
        lambda: (X, Y), {"metrics": {"accuracy": accuracy}, "settings": {"metric": "acuracy"}},
        r"did you mean 'accuracy'",
    ),
    "an unknown setting": (lambda: (X, Y), {"settings": {"epoch": 3}}, r"did you mean 'epochs'"),
    "a setting without effect": (
        lambda: (X, Y), {"settings": {"batch_tokens": 3}}, r"batch_size"
    ),
    "resume without a folder": (lambda: (X, Y), {"resume": True}, r"resume needs out="),
    "frozen": (lambda: (X, Y), {"module": Toy().requires_grad_(False)}, r"no parameter that requires"),
    "lazy": (lambda: (X, Y), {"module": nn.LazyLinear(2)}, r"weight of LazyLinear has no shape yet"),
    "no module": (lambda: (X, Y), {"module": abs}, r"cannot train a builtin"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_errors_name_what_came(case: str) -> None:
    data, options, message = WRONG[case]
    options = dict(options)
    if options.pop("keep", False):
        with pytest.raises(InputError, match=message):
            regard.fit(Toy(), data(), loss=abs, step=abs, progress=False)  # type: ignore[call-overload]
        return
    with pytest.raises(InputError, match=message):
        run(data(), **options)


def test_a_folder_that_is_in_use(tmp_path: Path) -> None:
    run((X, Y), out=tmp_path)
    with pytest.raises(InputError, match=r"holds a run already .*resume=True.*overwrite=True"):
        run((X, Y), out=tmp_path)
    with pytest.raises(SettingsError, match=r"begun with learning_rate=0.05, this is .*0.1"):
        run((X, Y), out=tmp_path, resume=True, settings={**QUICK, "learning_rate": 0.1})
    with pytest.raises(InputError, match=r"begun with 5 batches in an epoch, these are 4"):
        run((X[:30], Y[:30]), out=tmp_path, resume=True)
    with pytest.raises(ModelFolderError, match="belongs to another model"):
        run((X, Y), nn.Linear(WIDTH, 2), out=tmp_path, resume=True)
    again = run((X, Y), out=tmp_path, overwrite=True, settings={**QUICK, "learning_rate": 0.1})
    assert again.records[0]["learning_rate"] == 0.1
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds a model"):
        run((X, Y), out=tmp_path / "model", overwrite=True)


def test_resume_begins_what_had_not_begun(tmp_path: Path) -> None:
    assert run((X, Y), out=tmp_path / "run", resume=True).losses == run((X, Y)).losses
