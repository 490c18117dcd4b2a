"""Training: from files to a model folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.beginning import KIND, beginning_of
from regard.api.config.presets import PRESETS
from regard.api.config.settings import RunSettings, by_group, resolve, resolve_tuning
from regard.api.examples import Data, ExampleReader, Tables
from regard.api.load import model_class
from regard.api.progress import TrainingBar
from regard.api.storage.folder import CONFIG, weights_sha256
from regard.api.storage.replacing import discard_next, next_of, writing
from regard.api.storage.temporary import temporary_folder
from regard.api.tasks.model import Model
from regard.api.training_run import Run, train_run
from regard.choices import Tune
from regard.data import ReadOptions
from regard.errors import InputError, SettingsError, nearest
from regard.integrations.pretrained.folder import check_loadable, holds_transformers
from regard.integrations.pretrained.hub import is_hub_name, local_folder
from regard.training import Callback, Callbacks, Interrupted, ProcessGroup
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE
from regard.training.interrupt import ended_by_signals

__all__ = ["train"]


def train(
    task: str,
    *,
    train: Data,
    valid: Data | None = None,
    out: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    tune: Tune | None = None,
    preset: str = "small",
    settings: Mapping[str, Any] | None = None,
    columns: Tables | None = None,
    read_options: ReadOptions | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    callback: Callback | None = None,
) -> Model:
    """Train a model on your own text.

    Example::

        model = regard.train("translation", train=("train.de", "train.en"), out="runs/de-en")
        model.translate("Ein Mann fährt Rad.")[0].text  # "A man rides a bike."

    Args:
        task: `"translation"`, `"classification"`, `"summarization"` or `"language"`.
        train: files, `Example`s, or rows in memory: a frame of pandas or polars, a `datasets.Dataset`,
            dictionaries or tuples. Parallel text of files comes as source and target by turns.
        valid: data of the same kinds; `None` holds out a tenth of `train`, a thousand examples at most.
        out: the model's folder; `None` keeps the model in memory until `Model.save`.
        model: which kind, e.g. `"rnn"`; `None` takes the task's own. Or a pretrained model to begin with: a
            folder that `save_pretrained` of transformers wrote, or `hf:OWNER/NAME` of the Hub; or, for
            classification, the folder of a masked language model of ours (`model="masked"`).
        tune: what is trained of a pretrained model: `"frozen"`, its head alone, solved in seconds (of
            classification, its default); `"full"`, all weights (the other tasks' default); `"lora"`, low-rank
            changes beside them (needs peft).
        preset: `"tiny"`, `"small"` or `"base"`; a pretrained model has its own size.
        settings: single settings by name, e.g. `{"epochs": 3}`. Of those not given, batch size, epochs,
            warm-up and moving average are fitted to small data (`config/derived.py`).
        columns: of tables whose columns do not have the usual names.
        read_options: encoding, separator, longest line.
        resume: go on with the run in `out`, to exactly the losses of one never interrupted; begin it if it
            was killed before it had begun.
        overwrite: replace the model in `out`, which stays until the new one has weights.
        progress: show a progress bar and the validations, as the command does.
        callback: informed of progress.

    Returns:
        The model with its best weights.

    Raises:
        InputError: a folder in use, also by another process; a wrong number of files; `SettingsError` for a
            setting.
        DataError: a line that cannot be used.
        TrainingError: the loss is no longer a number.
        Interrupted: stopped by a signal, everything saved.
    """
    beginning = beginning_of(task, model)
    if beginning is None:
        chosen = _resolve(task, model, tune, preset, settings, out)
    else:
        values = beginning.values(settings or {}, preset=preset, tune=tune, out=out)
        chosen = resolve(task, kind=KIND, values=values)
    metrics, metric = model_class(chosen).metrics, chosen.training.metric
    if metric not in metrics:
        raise SettingsError(f"{task} has no metric {metric!r}; {nearest(metric, metrics)}")
    processes = ProcessGroup()
    bar = TrainingBar() if progress and processes.is_main else None
    observers = [each for each in (bar, callback) if each is not None and processes.is_main]
    informed = Callbacks(observers)
    reader = ExampleReader(chosen.task, columns, read_options)
    given = frozenset(by_group(chosen.kind, settings or {})["training"])
    folder = Path() if out is None else Path(out)
    run = Run(
        chosen, given, reader, train, valid, folder, folder, resume, informed, processes, beginning
    )
    with bar or nullcontext(), ended_by_signals():
        if out is None:
            return _train_in_memory(replace(run, resume=False))
        alone = writing(folder, "train", resume=resume, overwrite=overwrite)
        with alone if processes.is_main else nullcontext():
            processes.barrier()
            trained = _train_beside(run)
        informed.on_message(f"the model is in {out}")
    return trained


def _resolve(
    task: str,
    model: str | PathLike[str] | None,
    tune: Tune | None,
    preset: str,
    values: Mapping[str, Any] | None,
    out: str | PathLike[str] | None,
) -> RunSettings:
    """Settings of a run, from a random start or from a pretrained model."""
    name = None if model is None else str(model)
    kinds = PRESETS[task].kinds if task in PRESETS else ()
    if name is None or name in kinds or not _is_place(name):
        if tune is not None:
            raise SettingsError(
                f"tune={tune!r} tunes a pretrained model; name it, model=FOLDER or model='hf:OWNER/NAME'"
            )
        return resolve(task, kind=name, preset=preset, values=values)
    if preset != "small":
        raise SettingsError(
            f"preset={preset!r}: {name} has a size of its own; leave the preset out"
        )
    folder = local_folder(name) if is_hub_name(name) else Path(name)
    if not folder.is_dir():
        raise InputError(f"{name}: no such folder; expected one that save_pretrained wrote")
    if not holds_transformers(folder):
        raise InputError(
            f"{name} holds no model of transformers (config.json with a model_type, model.safetensors, a "
            "tokenizer); fine-tuning begins with a folder that save_pretrained wrote"
        )
    if out is not None and Path(out).resolve() == folder.resolve():
        raise InputError(
            f"{out} holds the pretrained model; choose another folder for the tuned one"
        )
    check_loadable(folder)
    weights = weights_sha256(folder)
    return resolve_tuning(task, tune=tune, base=name, base_weights=weights, values=values)


def _is_place(name: str) -> bool:
    """Whether a model is named by where it is, and not by its kind."""
    return is_hub_name(name) or "/" in name or os.sep in name or Path(name).is_dir()


def _train_beside(run: Run) -> Model:
    """Train a model in its folder, or beside the model in it until there are weights to replace it by."""
    following = next_of(run.out)
    if run.resume:
        # A run whose state was deleted begins again, and must not touch the weights that it has made.
        again = (run.out / WEIGHTS_FILE).is_file() and not (run.out / RUN_FILE).is_file()
        beside = following.is_dir() or again
    else:
        beside = (run.out / CONFIG).is_file()
        if beside and run.processes.is_main:
            following.mkdir(exist_ok=True)  # so that --resume means this run from now on
    if not beside:
        return train_run(run)
    if run.resume and following.is_dir():
        run.callback.on_message(
            f"goes on with the run that is to replace the model in {run.out}; it lies in {following}"
        )
    try:
        return train_run(replace(run, place=following))
    except Interrupted as stop:
        raise Interrupted(run.out, stop.signal) from None
    finally:
        if run.processes.is_main and not (following / RUN_FILE).is_file():
            discard_next(run.out)  # it had not begun


def _train_in_memory(run: Run) -> Model:
    """Train one model in a folder that is deleted; what it holds beside the weights is kept for `save`."""
    with temporary_folder("train") as out:
        try:
            trained = train_run(replace(run, out=out, place=out))
        except Interrupted as stop:  # the folder that it names does not outlive this
            raise Interrupted(None, stop.signal) from None
    trained.folder = None
    return trained
