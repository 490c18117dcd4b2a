"""`regard.fit`: training of any module of torch with the loop that `regard train` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from os import PathLike
from typing import Any, TypeVar, overload

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from regard.api.measure import Number, measure_of
from regard.api.progress import TrainingBar
from regard.api.storage.fit_folder import open_run, run_folder
from regard.errors import InputError, SettingsError, nearest
from regard.training import (
    Callback,
    Callbacks,
    History,
    Interrupted,
    Loss,
    ProcessGroup,
    Ranking,
    TrainingSettings,
)
from regard.training import fit as run_loop
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE, load_weights
from regard.training.interrupt import ended_by_signals
from regard.training.own_batches import OwnBatches, epochs_of

__all__ = ["fit"]

M = TypeVar("M", bound=nn.Module)

_DEFAULTS: Mapping[str, Any] = {"schedule": "constant", "warmup": 0, "precision": "float32"}
_UNUSED = {
    "batch_tokens": "the data comes in batches already; a dataset takes batch_size",
    "label_smoothing": "the loss is yours; torch.nn.CrossEntropyLoss has label_smoothing, too",
}


@overload
def fit(
    module: nn.Module,
    data: OwnBatches,
    *,
    loss: Callable[[Any, Any], Tensor],
    valid: OwnBatches | None = None,
    metrics: Mapping[str, Callable[[Any, Any], Number]] | None = None,
    out: str | PathLike[str] | None = None,
    batch_size: int = 32,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callback: Callback | None = None,
) -> History: ...
@overload
def fit(
    module: M,
    data: OwnBatches,
    *,
    step: Callable[[M, Any], Tensor | Loss],
    valid: OwnBatches | None = None,
    metrics: Mapping[str, Callable[[M, Any], Number]] | None = None,
    out: str | PathLike[str] | None = None,
    batch_size: int = 32,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callback: Callback | None = None,
) -> History: ...
def fit(
    module: nn.Module,
    data: OwnBatches,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[Any, Any], Tensor | Loss] | None = None,
    valid: OwnBatches | None = None,
    metrics: Mapping[str, Callable[[Any, Any], Number]] | None = None,
    out: str | PathLike[str] | None = None,
    batch_size: int = 32,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callback: Callback | None = None,
) -> History:
    """Train a module of torch: AdamW, validation, the best weights kept, a history, and a run that can go on.

    The loop is that of `regard.train`. Stopped in any way and begun again with `resume=True`, the run has the
    losses of one that was never interrupted, bit for bit: dropout and the order of the data follow from the
    seed and the number of the update.

    >>> import torch
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> module = torch.nn.Linear(3, 1)
    >>> history = regard.fit(
    ...     module,
    ...     (x, x.sum(1, keepdim=True)),
    ...     loss=torch.nn.MSELoss(),
    ...     settings={"epochs": 40, "learning_rate": 0.1},
    ...     progress=False,
    ... )
    >>> history.validations[-1]["valid_loss"] < 0.01
    True

    Args:
        module: changed in place; ends with its best weights, in evaluation mode, on the device of the run (a
            GPU where torch finds one).
        data: a `DataLoader`; a `Dataset` with a length, or a tuple of tensors with one row per example, which
            are shuffled and cut into batches; an iterable of batches that can be read again; or a function from
            the number of the epoch, from 0, to one.
        loss: function of `(output, target)`, such as `torch.nn.CrossEntropyLoss()`; the mean over the examples
            of a batch. Batches are `(*inputs, target)`: the module is called with the inputs, or with the
            entries of a dictionary as keywords.
        step: instead of `loss`, for batches of any form: function of `(module, batch)` that returns the mean
            loss of the batch, or a `regard.training.Loss` with a sum and the number of targets it is over.
        valid: data of the same kinds, not shuffled, which chooses the best weights; `None` takes `data`.
        metrics: further figures of a validation by name, functions of the same arguments as `loss` or `step`
            that return the mean over a batch. A name that ends in loss, perplexity or error should be low.
        out: folder for the best weights (`model.safetensors`), the history (`history.jsonl`, `history.png`) and
            the state of the run; `None` keeps nothing but the module.
        batch_size: examples in a batch of a dataset or of tensors.
        settings: of `TrainingSettings`, by name: `epochs`, `learning_rate`, `patience`, `metric`, ... Unless
            given, the learning rate is constant, without a warm-up, and numbers are float32.
        resume: go on with the run in `out`; begin it if there is none.
        overwrite: replace the run in `out`.
        progress: show a bar with the time left, and the validations.
        callback: informed of progress.

    Returns:
        Training and validation records.

    Raises:
        InputError: data, a loss or a folder that cannot be used, with what came; `SettingsError` for a setting.
        TrainingError: the loss is no longer a number.
        Interrupted: stopped by a signal, everything saved.
    """
    _check_module(module)
    training, measure = _settings(settings, metrics), measure_of(loss, step, metrics)
    train_epochs = epochs_of(data, batch_size=batch_size, seed=training.seed, shuffled=True)
    judged = data if valid is None else valid
    valid_epochs = epochs_of(judged, batch_size=batch_size, seed=training.seed, shuffled=False)
    processes = ProcessGroup()
    bar = TrainingBar() if progress and processes.is_main else None
    observers = [each for each in (bar, callback) if each is not None and processes.is_main]
    informed = Callbacks(observers)
    with (
        bar or nullcontext(),
        ended_by_signals(),
        run_folder(out, resume=resume, overwrite=overwrite) as folder,
    ):
        continues = resume and (folder / RUN_FILE).is_file()
        facts = {"settings": training.model_dump(mode="json"), "batches": len(train_epochs(0))}
        open_run(folder, facts, continues=continues)
        if valid is None:
            informed.on_message(
                "no validation part: the module is validated on what it is trained on"
            )
        try:
            history = run_loop(
                module,
                measure.training_loss,
                train_epochs,
                settings=training,
                validate=lambda network: measure.means(network, valid_epochs(0), processes.device),
                ranking=Ranking(training.metric, ties=("loss",)),
                out=folder,
                resume=continues,
                callback=informed,
                process_group=processes,
            )
        except Interrupted as stop:  # a folder of its own does not outlive this
            raise Interrupted(None if out is None else folder, stop.signal) from None
        processes.barrier()
        load_weights(module, folder / WEIGHTS_FILE)
        module.eval()
        if out is not None and processes.is_main:
            from regard.viewing.figure import plot_history, write  # matplotlib is slow to import

            write(plot_history(history.records, title=folder.name), folder / "history.png")
    return history


def _check_module(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise InputError(f"cannot train a {type(module).__name__}; expected a torch.nn.Module")
    lazy = [name for name, parameter in module.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise InputError(
            f"{lazy[0]} of {type(module).__name__} has no shape yet; call the module once on a batch before"
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise InputError(f"{type(module).__name__} has no parameter that requires a gradient")


def _settings(
    given: Mapping[str, Any] | None, metrics: Mapping[str, object] | None
) -> TrainingSettings:
    for name, reason in _UNUSED.items():
        if name in (given or {}):
            raise SettingsError(f"{name} has no effect here: {reason}")
    training = TrainingSettings(**{**_DEFAULTS, **(given or {})})
    known = ("loss", *(metrics or {}))
    if training.metric not in known:
        raise SettingsError(f"no metric {training.metric!r}; {nearest(training.metric, known)}")
    return training
