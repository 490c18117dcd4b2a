"""Weights and the state of a run on disk: safetensors files with JSON in their header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from regard.errors import ModelFolderError
from regard.files import atomic_write
from regard.training.history import History

__all__ = [
    "RUN_FILE",
    "WEIGHTS_FILE",
    "RunState",
    "Running",
    "assign_weights",
    "load_weights",
    "read_run",
    "save_run",
    "save_weights",
]

WEIGHTS_FILE = "model.safetensors"
"""Name of the best weights in a model's folder."""

RUN_FILE = Path("last") / "run.safetensors"
"""Path of the state of a run in a model's folder."""

_TIED = "tied:"  # prefix of header entries: name of a tensor that was left out -> its twin


class Running(NamedTuple):
    """Sums over some updates.

    Attributes:
        loss: summed plain loss.
        targets: number of targets.
        gradient_norm: sum of the norms.
        updates: number of updates.
    """

    loss: float = 0.0
    targets: float = 0.0
    gradient_norm: float = 0.0
    updates: int = 0

    def plus(self, loss: float, targets: float, gradient_norm: float) -> Running:
        """Sums with one more update."""
        return Running(
            self.loss + loss,
            self.targets + targets,
            self.gradient_norm + gradient_norm,
            self.updates + 1,
        )


@dataclass
class RunState:
    """Position of a run. With the tensors of its `Updater`, all that is needed to continue it.

    Args:
        step: updates made.
        epoch: index of the current epoch, from 0.
        batches_done: batches of that epoch that were used.
        seconds: time spent in training.
        targets: targets trained on.
        validated_step: step of the latest validation.
        validation_pending: whether a validation had begun and not ended.
        validations_since_best: validations since the best one.
        running: sums for the next training record.
        since_validation: sums since the latest validation.
    """

    step: int = 0
    epoch: int = 0
    batches_done: int = 0
    seconds: float = 0.0
    targets: float = 0.0
    validated_step: int = 0
    validation_pending: bool = False
    validations_since_best: int = 0
    running: Running = field(default_factory=Running)
    since_validation: Running = field(default_factory=Running)


_OLD_FIELD_NAMES = {
    "position": "batches_done",
    "validated": "validated_step",
    "due": "validation_pending",
    "waited": "validations_since_best",
    "stretch": "running",
}
"""Fields of `RunState` in files of format 1."""

_SUMS = ("running", "since_validation")
_DERIVED = ("best",)
"""Fields of earlier files that follow from the history."""


def save_weights(model: nn.Module, path: str | PathLike[str]) -> None:
    """Write a model's weights, whole or not at all; tied weights once."""
    _save(model.state_dict(), path, {"format": "pt"})


def load_weights(model: nn.Module, path: str | PathLike[str]) -> None:
    """Load weights that `save_weights` wrote into a model with the same settings.

    Raises:
        ModelFolderError: there is no such file, or it is damaged or belongs to another model; names
            the first difference.
    """
    tensors, _ = _read(path)
    assign_weights(model, tensors, path)


def assign_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], path: str | PathLike[str]
) -> None:
    """Copy tensors into a model after checking that their names and shapes are the model's.

    Args:
        model: changed in place, or not at all.
        tensors: a state dict.
        path: file they were read from, for errors.

    Raises:
        ModelFolderError: they belong to another model; names the first difference.
    """
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
    """Write everything a run needs to continue.

    It is one file, replaced in one step, so that state, history and tensors always agree.
    """
    header = {"state": json.dumps(asdict(state)), "history": json.dumps(history.records)}
    (folder / RUN_FILE).parent.mkdir(exist_ok=True)
    _save(tensors, folder / RUN_FILE, header)


def read_run(folder: Path) -> tuple[RunState, History, dict[str, Tensor]]:
    """Read what `save_run` wrote.

    Raises:
        ModelFolderError: there is no run to continue, or its file is damaged.
    """
    tensors, header = _read(folder / RUN_FILE)
    try:
        saved: dict[str, Any] = json.loads(header["state"])
        values = {_OLD_FIELD_NAMES.get(name, name): value for name, value in saved.items()}
        values = {name: value for name, value in values.items() if name not in _DERIVED}
        sums = {name: Running(*values.get(name, ())) for name in _SUMS}
        state = RunState(**{**values, **sums})
        return state, History(json.loads(header["history"])), tensors
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{folder / RUN_FILE}: not the state of a run ({error}); train again with overwrite"
        ) from error


def _save(tensors: Mapping[str, Tensor], path: str | PathLike[str], header: dict[str, str]) -> None:
    # safetensors refuses tensors that share memory: of tied weights only the first name is written,
    # and the header says which names are missing and whose twins they are.
    owners: dict[int, str] = {}
    written = {}
    for name, tensor in tensors.items():
        owner = owners.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if owner == name:
            written[name] = tensor.detach().contiguous().cpu()
        else:
            header = {**header, f"{_TIED}{name}": owner}
    with atomic_write(path) as unfinished:
        save_file(written, unfinished, metadata=header)


def _read(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not Path(path).is_file():
        raise ModelFolderError(f"{path}: no such file; is training still before its first save?")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(
            f"{path}: damaged, or not a safetensors file ({error}); copy or train it again"
        ) from error
    for name, owner in header.items():
        if name.startswith(_TIED) and owner in tensors:
            tensors[name.removeprefix(_TIED)] = tensors[owner]
    return tensors, header
