"""Trains every kind of model for some seconds through the command line, and asks it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.same_answers.cases import Case
from benchmarks.same_answers.commands import Done, run

__all__ = ["answers_of", "trained"]


def trained(case: Case) -> dict[str, Any]:
    """Train a model; what its folder then holds that must not differ."""
    done = run(*case.training())
    found: dict[str, Any] = {"status": done.status, "told": done.err}
    if done.status:
        return found
    folder = Path(case.name)
    return {
        **found,
        "history": [_without_time(json.loads(line)) for line in _lines(folder / "history.jsonl")],
        "tensors": _tensors(folder / "model.safetensors"),
        "tokenizers": [_tokenizer(folder / f"{n}.json") for n in ("source", "target")],
        "scores": _scores(folder / "README.md"),
        "config": _leaves(json.loads((folder / "config.json").read_text(encoding="utf-8"))),
    }


def answers_of(case: Case) -> dict[str, Any]:
    """What a trained model answers to every command."""
    found: dict[str, Any] = {}
    for command in case.commands():
        done: Done = run(*command)
        name = " ".join(command)
        while name in found:  # a view once more, after `trust`
            name += " (again)"
        found[name] = {"status": done.status, "out": done.out, "told": done.err}
        if "--out" in command and not done.status:
            found[name]["file"] = _arrays(Path(command[-1]))
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "seconds"}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _tensors(path: Path) -> list[str]:
    """Type, shape and hash of each tensor, sorted: parameters may be called otherwise."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    about, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    return sorted(
        f"{one['dtype']} {one['shape']} {_digest(data[slice(*one['data_offsets'])])}"
        for name, one in about.items()
        if name != "__metadata__"
    )


def _tokenizer(path: Path) -> str:
    if not path.is_file():
        return "none"
    content = json.loads(path.read_text(encoding="utf-8"))
    return _digest(json.dumps(content["backend"], sort_keys=True).encode())


def _scores(path: Path) -> list[str]:
    """Figures of the model card's first table: the validation part, beside the baseline."""
    table = path.read_text(encoding="utf-8").partition("## Settings")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [number for row in rows for number in re.findall(r"\d+(?:\.\d+)?", row)]


def _leaves(content: Any) -> list[str]:
    """Every value, sorted; what it is called may have changed."""
    if isinstance(content, dict):
        return sorted(leaf for value in content.values() for leaf in _leaves(value))
    if isinstance(content, list):
        return sorted(leaf for value in content for leaf in _leaves(value))
    return [json.dumps(content)]


def _arrays(path: Path) -> list[str]:
    """Type, shape and hash of each array of a saved record, in order; names and texts are left out."""
    with np.load(path, allow_pickle=False) as arrays:
        return [
            f"{arrays[name].dtype} {arrays[name].shape} {_digest(arrays[name].tobytes())}"
            for name in arrays.files
            if arrays[name].dtype != np.uint8
        ]
