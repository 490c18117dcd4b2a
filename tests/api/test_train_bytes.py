"""Equal runs write equal bytes; times are in one field of the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard.data import Example, dates
from regard.training.history import CLOCK
from regard.training.tensors import read_tensors

TINY = {"steps": 4, "batch_tokens": 512, "warmup": 1, "log_every": 1, "validate_every": 2}
LABELLED = [
    Example(f"word{i % 7} and {i % 3}", labels=("yes" if i % 2 else "no",)) for i in range(40)
]


@pytest.mark.parametrize(
    ("task", "data", "settings"),
    [
        ("classification", LABELLED, {}),
        ("translation", dates.generate(30, seed=3), {"width": 16, "heads": 2, "feedforward": 16}),
        ("translation", dates.generate(30, seed=3), {"model": "rnn", "width": 8, "embedding": 8}),
    ],
)
def test_two_equal_runs(
    task: str, data: Any, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**TINY, **settings}
    kind = values.pop("model", None)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        regard.train(task, train=data, out="run", model=kind, preset="tiny", settings=values)
    first, second = tmp_path / "first" / "run", tmp_path / "second" / "run"
    names = sorted(path.name for path in first.iterdir() if path.is_file())
    assert names == sorted(path.name for path in second.iterdir() if path.is_file())
    for name in names:
        if name != "history.jsonl":
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert _timeless(first) == _timeless(second)
    states = [
        read_tensors(folder / "last" / "run.safetensors").tensors for folder in (first, second)
    ]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def _timeless(folder: Path) -> list[dict[str, Any]]:
    records = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    return [{name: value for name, value in r.items() if name != CLOCK} for r in records]
