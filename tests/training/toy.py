"""A run small enough for tests; also a program, so that it can be killed.

python toy.py OUT [resume] [slow]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.ragged import Ragged
from regard.training import (
    Batch,
    Callback,
    Epoch,
    History,
    Loss,
    ProcessGroup,
    Progress,
    TrainingSettings,
    fit,
    smoothed_cross_entropy,
)
from regard.training.batch import labelled_batch

SIZE, COUNT, BATCH = 23, 101, 7
SETTINGS = TrainingSettings(
    epochs=3,
    accumulate=2,
    learning_rate=0.1,
    warmup=5,
    ema=0.9,
    metric="accuracy",
    log_every=4,
    save_seconds=0,
    clip=0.5,
    precision="float32",
)
_numbers = np.random.default_rng(7)
TEXTS = Ragged(_numbers.integers(4, SIZE, size=n) for n in _numbers.integers(2, 9, size=COUNT))
LABELS = torch.tensor([int((TEXTS[i] % 2).mean() > 0.5) for i in range(COUNT)])


class Toy(nn.Module):
    """Embeds, averages, decides; with dropout, so that random numbers matter."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(SIZE, 11)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(11, 2)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        mean = (self.embedding(ids) * mask[..., None]).sum(1) / lengths[:, None]
        return self.out(self.dropout(torch.tanh(mean)))


def loss(model: nn.Module, batch: Batch) -> Loss:
    logits = model(batch.source, batch.source_lengths)
    assert batch.target is not None
    return Loss(smoothed_cross_entropy(logits, batch.target, ignore_index=-1), len(batch))


def batches(epoch: int) -> Epoch:
    order = np.random.default_rng(epoch).permutation(COUNT).tolist()
    groups = [order[i : i + BATCH] for i in range(0, COUNT, BATCH)]
    return Epoch(groups, lambda indices: labelled_batch(TEXTS, LABELS, indices))


def lonely(epoch: int) -> Epoch:
    """Batches of which one has a single row: too few for two processes."""
    groups = [[epoch], [3, 4, 5], [6, 7]]
    return Epoch(groups, lambda indices: labelled_batch(TEXTS, LABELS, indices))


def validate(model: nn.Module) -> dict[str, float]:
    torch.rand(3)  # whatever validation draws must not change the training
    everything = labelled_batch(TEXTS, LABELS, range(COUNT))
    logits = model(everything.source, everything.source_lengths)
    return {"accuracy": float((logits.argmax(1) == everything.target).float().mean())}


class Slow(Callback):
    """Prints each update and gives the test time to kill."""

    def on_step(self, progress: Progress) -> None:
        print(progress.step, flush=True)
        time.sleep(0.05)


def run(
    out: Path | None,
    *,
    resume: bool = False,
    dropout: float = 0.3,
    model: nn.Module | None = None,
    of: Callable[[int], Epoch] = batches,
    callback: Callback | None = None,
    process_group: ProcessGroup | None = None,
    **changes: object,
) -> History:
    return fit(
        model or Toy(dropout),
        loss,
        of,
        settings=SETTINGS.model_copy(update=changes),
        validate=validate,
        out=out,
        resume=resume,
        callback=Slow() if "slow" in sys.argv else callback,
        process_group=process_group,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = run(
        Path(sys.argv[1]),
        resume="resume" in sys.argv,
        dropout=0.0 if "plain" in sys.argv else 0.3,
    )
    print(json.dumps(found.losses))
