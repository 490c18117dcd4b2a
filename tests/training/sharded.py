"""What two processes do in `test_sharding.py`: python -m torch.distributed.run ... sharded.py OUT."""

from __future__ import annotations

import copy
import importlib.util
import json
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from regard.models.settings import TransformerSettings
from regard.models.transformer import Transformer
from regard.training import Callback, History, Interrupted, Loss, ProcessGroup, Progress
from regard.training.sharding import ShardedModel, local, whole

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).parent / "toy.py")
assert _spec is not None
assert _spec.loader is not None
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


def gradients(group: ProcessGroup) -> None:
    """Gradients of a Transformer in float64 are those of one process; a process holds about half of it."""
    torch.manual_seed(0)
    settings = TransformerSettings(
        source_size=31,
        target_size=31,
        width=16,
        heads=2,
        feedforward=33,
        joint=True,
        dropout=0.0,
        attention_dropout=0.0,
    )
    model = Transformer(settings).double()
    alone, size = copy.deepcopy(model), sum(p.numel() for p in model.parameters())
    source, target = torch.randint(4, 31, (2, 6, 7))
    lengths = torch.tensor([7, 5, 3, 7, 2, 6])

    def loss(network: nn.Module, rows: list[int]) -> Loss:
        logits = network(source[rows], lengths[rows], target[rows, :-1]).logits
        return Loss(F.cross_entropy(logits.mT, target[rows, 1:], reduction="sum"), len(rows))

    parts = [[0, 1, 2, 3], [4, 5]]
    sharded = ShardedModel(model, group.device, 2)
    assert not any(p.numel() for p in model.parameters())
    held = sum(local(p).numel() for p in sharded.divided.parameters())
    assert abs(held - size / 2) < size / 20, (held, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of views, which nobody changes
        for _ in range(2):  # the second time on top of the first
            sharded(loss, parts[group.rank])[0].backward()
            for rows in parts:
                loss(alone, rows).value.backward()
    pairs = zip(sharded.divided.named_parameters(), alone.parameters(), strict=True)
    for (name, parameter), expected in pairs:
        assert parameter.grad is not None, name
        torch.testing.assert_close(whole(parameter.grad), expected.grad, atol=1e-11, rtol=1e-11)
    sharded.give_back()
    assert model.output.weight is model.target.weight or not settings.tied
    for ours, expected in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=0, rtol=0)


class Stop(Callback):
    """Asks one process to end after some updates."""

    def on_step(self, progress: Progress) -> None:
        if progress.step == 11 and torch.distributed.get_rank() == 1:
            signal.raise_signal(signal.SIGTERM)


def losses(out: Path, group: ProcessGroup, *, dropout: float = 0.3, **more: Any) -> list[float]:
    """Losses of a run of the toy, which has its weights whole again at the end, in every process."""
    model = toy.Toy(dropout)
    found: History = toy.run(out, model=model, process_group=group, sharded=True, **more)
    assert model.out.weight.shape == (2, 11)
    assert not hasattr(model.out.weight, "placements")
    return found.losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, processes = Path(sys.argv[1]), ProcessGroup()
    gradients(processes)
    plain = losses(folder / "plain", processes, dropout=0.0)
    few = losses(folder / "few", processes, dropout=0.0, of=toy.lonely)
    whole_run = losses(folder / "whole", processes)
    try:
        losses(folder / "cut", processes, callback=Stop())
    except Interrupted:
        pass
    else:
        raise AssertionError("nobody was interrupted")
    processes.barrier()
    resumed = losses(folder / "cut", processes, resume=True)
    if processes.is_main:
        result = {"plain": plain, "few": few, "whole": whole_run, "resumed": resumed}
        (folder / "losses.json").write_text(json.dumps(result))
