"""Weights and the state of a run on disk: safetensors, facts in their header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from regard.errors import ModelFolderError
from regard.files import atomic_write
from regard.training.history import History

__all__ = [
    "LAST",
    "WEIGHTS",
    "RunState",
    "load_weights",
    "put_weights",
    "read_run",
    "save_run",
    "save_weights",
]

WEIGHTS = "model.safetensors"
LAST = Path("last") / "run.safetensors"


@dataclass
class RunState:
    """Where a run is; with the tensors of its `Updater`, all that going on needs.

    Args:
        step: updates made.
        epoch: the one under way, from 0.
        position: batches of that epoch that are done.
        seconds: trained for.
        targets: trained on.
        validated: the step of the latest validation.
        due: whether one was under way.
        best: the best value of the chosen metric.
        waited: validations since then.
        stretch: sums since the latest line of the history: loss, targets, gradient norm, updates.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    seconds: float = 0.0
    targets: float = 0.0
    validated: int = 0
    due: bool = False
    best: float | None = None
    waited: int = 0
    stretch: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)


def save_weights(model: nn.Module, path: str | PathLike[str]) -> None:
    """Write a model's weights, whole or not at all; tied weights once."""
    _save(model.state_dict(), path, {"format": "pt"})


def load_weights(model: nn.Module, path: str | PathLike[str]) -> None:
    """Read what `save_weights` wrote into a model of the same settings.

    Raises:
        ModelFolderError: no such file, a damaged one, or one of another model; names the first
            difference.
    """
    tensors, _ = _read(path)
    put_weights(model, tensors, path)


def put_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: str | PathLike[str]) -> None:
    """Put what was read from `path` into a model, if it is this model's; raises as `load_weights`."""
    wanted = model.state_dict()
    for name, tensor in tensors.items():
        if name not in wanted:
            raise ModelFolderError(
                f"{path}: holds {name!r}, which the model of config.json does not have; "
                "the file belongs to another model"
            )
        if tensor.shape != wanted[name].shape:
            raise ModelFolderError(
                f"{path}: {name!r} has shape {tuple(tensor.shape)}, config.json makes it "
                f"{tuple(wanted[name].shape)}; the file belongs to another model"
            )
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise ModelFolderError(
            f"{path}: lacks {missing[0]!r} ({len(missing)} of {len(wanted)} tensors); "
            "the file belongs to another model"
        )
    model.load_state_dict(tensors)


def save_run(
    folder: Path, state: RunState, history: History, tensors: Mapping[str, Tensor]
) -> None:
    """Write all that going on needs as one file, so that it cannot disagree with itself."""
    facts = {"state": json.dumps(asdict(state)), "history": json.dumps(history.records)}
    (folder / LAST).parent.mkdir(exist_ok=True)
    _save(tensors, folder / LAST, facts)


def read_run(folder: Path) -> tuple[RunState, History, dict[str, Tensor]]:
    """Read what `save_run` wrote.

    Raises:
        ModelFolderError: there is nothing to go on from, or it is damaged.
    """
    tensors, facts = _read(folder / LAST)
    try:
        values: dict[str, Any] = json.loads(facts["state"])
        state = RunState(**{**values, "stretch": tuple(values["stretch"])})
        return state, History(json.loads(facts["history"])), tensors
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{folder / LAST}: not the state of a run ({error}); train again with overwrite"
        ) from error


def _save(tensors: Mapping[str, Tensor], path: str | PathLike[str], facts: dict[str, str]) -> None:
    # safetensors refuses tensors that share memory, so of tied weights only the first name is kept.
    seen: dict[int, str] = {}
    whole = {}
    for name, tensor in tensors.items():
        owner = seen.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if owner == name:
            whole[name] = tensor.detach().contiguous().cpu()
        else:
            facts = {**facts, f"tied:{name}": owner}
    with atomic_write(path) as unfinished:
        save_file(whole, unfinished, metadata=facts)


def _read(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not Path(path).is_file():
        raise ModelFolderError(f"{path}: no such file; is training still before its first save?")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(
            f"{path}: damaged, or not a safetensors file ({error}); copy or train it again"
        ) from error
    for name, owner in facts.items():
        if name.startswith("tied:") and owner in tensors:
            tensors[name.removeprefix("tied:")] = tensors[owner]
    return tensors, facts
