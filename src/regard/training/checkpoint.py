"""Weights and the state of a run on disk: safetensors files with JSON in their header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from regard.errors import ModelFolderError
from regard.training.history import History
from regard.training.tensors import TensorFile, read_tensors, write_tensors

__all__ = [
    "HISTORY_FILE",
    "RUN_FILE",
    "WEIGHTS_FILE",
    "RunState",
    "Running",
    "StoresAnother",
    "assign_weights",
    "check_layout",
    "check_owner",
    "check_values",
    "load_weights",
    "read_run",
    "save_run",
    "save_weights",
]

WEIGHTS_FILE = "model.safetensors"
"""Name of the best weights in a model's folder."""

HISTORY_FILE = "history.jsonl"
"""Name of the history of a run in a model's folder."""

RUN_FILE = Path("last") / "run.safetensors"
"""Path of the state of a run in a model's folder."""


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


@runtime_checkable
class StoresAnother(Protocol):
    """A network around the one whose weights its file holds, under the names that they have there."""

    @property
    def stored(self) -> nn.Module:
        """Module that the weights of a file are loaded into."""
        ...

    def stored_state(self) -> Mapping[str, Tensor]:
        """Weights that a file is to hold."""
        ...


def save_weights(model: nn.Module, path: str | PathLike[str], *, belongs_to: str = "") -> None:
    """Write a model's weights, whole or not at all, with a checksum of each; tied weights once.

    Args:
        model: whose state dict is written.
        path: of the file.
        belongs_to: identity of the files that the weights are of use with; `load_weights` compares it.
    """
    state = model.stored_state() if isinstance(model, StoresAnother) else model.state_dict()
    write_tensors(state, path, {"format": "pt"}, belongs_to=belongs_to)


def load_weights(
    model: nn.Module,
    path: str | PathLike[str],
    *,
    belongs_to: str = "",
    seals: bool = True,
    mapped: bool = False,
) -> None:
    """Load weights that `save_weights` wrote into a model with the same settings.

    Args:
        model: changed in place, or not at all.
        path: of the file. One of an earlier version has no checksums, and is taken as it is.
        belongs_to: identity of the files that the weights must have been written for; empty for any.
        seals: compare the weights with the checksums.
        mapped: leave the weights in the file, which is mapped into memory: processes that do so share them.
            Nobody may change the file as long as the model is in use.

    Raises:
        ModelFolderError: there is no such file, it is damaged, was changed after it was written or belongs
            to another model; names all differences.
    """
    stored = read_tensors(path, seals=seals)
    check_owner(stored, path, belongs_to)
    network = model.stored if isinstance(model, StoresAnother) else model
    assign_weights(network, stored.tensors, path, mapped=mapped)


def check_owner(stored: TensorFile, path: str | PathLike[str], belongs_to: str) -> None:
    """Check that tensors were written for certain files; empty stands for any.

    Raises:
        ModelFolderError: they were not, or the file does not say.
    """
    if belongs_to in ("", stored.belongs_to):
        return
    found = "belongs to the files of another run" if stored.belongs_to else "has no checksums"
    raise ModelFolderError(f"{path}: {found}; copy the whole folder again, or train again")


def assign_weights(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    path: str | PathLike[str],
    *,
    mapped: bool = False,
) -> None:
    """Copy tensors into a model after checking that names, shapes and types are the model's, and values finite.

    Values that the model itself has not finite (a mask of -inf in a buffer) may be so.

    Args:
        model: changed in place, or not at all.
        tensors: a state dict.
        path: file they were read from, for errors.
        mapped: take the tensors themselves in place of copies; those of another type are copied all the same.

    Raises:
        ModelFolderError: they belong to another model, or cannot be weights; names all faults.
    """
    state = model.state_dict()
    check_layout(state, tensors, path)
    check_values({name: t for name, t in tensors.items() if _is_finite(state[name])}, path)
    if mapped:
        _take(model, tensors)
    else:
        model.load_state_dict(tensors)


def _take(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of a model's own."""
    # Not `assign=True`, which makes a parameter of each name: tied ones would come apart, and be counted twice.
    targets = [*model.named_parameters(remove_duplicate=False)]
    for name, target in [*targets, *model.named_buffers(remove_duplicate=False)]:
        if name in tensors:  # a buffer that is not saved has no tensor
            target.data = tensors[name].to(target.dtype)
    model.load_state_dict(
        {}, strict=False
    )  # runs the hooks of modules that derive something from weights


def check_values(tensors: Mapping[str, Tensor], path: str | PathLike[str]) -> None:
    """Check that every value is finite.

    Raises:
        ModelFolderError: some are not; names the tensors.
    """
    broken = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if broken:
        raise ModelFolderError(
            f"{path}: {_listed(broken)}: NaN or infinite values ({len(broken)} of {len(tensors)} tensors); "
            "no model answers with them: copy or train it again"
        )


def check_layout(
    wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str | PathLike[str]
) -> None:
    """Compare names, shapes and types of two state dicts; nothing of their values is read.

    Args:
        wanted: of the model that `config.json` describes; may be of the meta device.
        found: in the file.
        path: of the file, for errors.

    Raises:
        ModelFolderError: they differ; names all kinds of difference.
    """
    missing = sorted(wanted.keys() - found.keys())
    foreign = sorted(found.keys() - wanted.keys())
    common = sorted(wanted.keys() & found.keys())
    shapes = [name for name in common if found[name].shape != wanted[name].shape]
    types = [name for name in common if _family(found[name]) != _family(wanted[name])]
    faults = []
    if missing:
        faults.append(f"lacks {_listed(missing)} ({len(missing)} of {len(wanted)} tensors)")
    if foreign:
        faults.append(f"holds {_listed(foreign)}, which the model of config.json does not have")
    for name in shapes[:_SHOWN]:
        faults.append(
            f"{name!r} has shape {tuple(found[name].shape)}, config.json makes it "
            f"{tuple(wanted[name].shape)}"
        )
    if len(shapes) > _SHOWN:
        faults.append(f"{len(shapes) - _SHOWN} more tensors have other shapes")
    if types:
        faults.append(
            f"{_listed(types)}: {found[types[0]].dtype}, expected {wanted[types[0]].dtype}"
        )
    if faults:
        raise ModelFolderError(f"{path}: {'; '.join(faults)}; the file belongs to another model")


_SHOWN = 3
"""Names that an error gives one by one."""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _family(tensor: Tensor) -> str:
    """Type as far as a file must have the model's: floats of any width are converted."""
    return "float" if tensor.is_floating_point() else str(tensor.dtype)


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    # A sum is one pass without memory of its own; it is also infinite where it overflows.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def save_run(
    folder: Path,
    state: RunState,
    history: History,
    tensors: Mapping[str, Tensor],
    *,
    belongs_to: str = "",
) -> None:
    """Write everything a run needs to continue.

    It is one file, replaced in one step, so that state, history and tensors always agree.

    Args:
        folder: of the run.
        state: position of the run.
        history: its records.
        tensors: of its `Updater`.
        belongs_to: identity of the other files of the folder.
    """
    header = {"state": json.dumps(asdict(state)), "history": json.dumps(history.records)}
    (folder / RUN_FILE).parent.mkdir(exist_ok=True)
    write_tensors(tensors, folder / RUN_FILE, header, belongs_to=belongs_to)


def read_run(folder: Path, *, belongs_to: str = "") -> tuple[RunState, History, dict[str, Tensor]]:
    """Read what `save_run` wrote.

    Args:
        folder: of the run.
        belongs_to: identity of the other files of the folder; empty for any.

    Raises:
        ModelFolderError: there is no run to continue, or its file is damaged or of another run.
    """
    stored = read_tensors(folder / RUN_FILE)
    check_owner(stored, folder / RUN_FILE, belongs_to)
    header = stored.header
    try:
        saved: dict[str, Any] = json.loads(header["state"])
        values = {_OLD_FIELD_NAMES.get(name, name): value for name, value in saved.items()}
        values = {name: value for name, value in values.items() if name not in _DERIVED}
        sums = {name: Running(*values.get(name, ())) for name in _SUMS}
        state = RunState(**{**values, **sums})
        return state, History(json.loads(header["history"])), stored.tensors
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFolderError(
            f"{folder / RUN_FILE}: not the state of a run ({error}); train again with overwrite"
        ) from error
