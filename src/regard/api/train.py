"""From files to a model folder."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.config.settings import RunSettings, resolve
from regard.api.examples import Data, ExampleReader, hold_out, names_of
from regard.api.load import MODELS, load
from regard.api.storage.card import write_card
from regard.api.storage.folder import CONFIG, FORMAT, claim, clear, read_config, write_json
from regard.api.tasks.model import Model
from regard.data import Corpus, Example, Labelled, Pairs, ReadOptions
from regard.errors import InputError, SettingsError, nearest
from regard.training import Callback, History, Interrupted, ProcessGroup, fit
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE, load_weights, save_weights
from regard.version import __version__
from regard.viewing.figure import plot_history, write

__all__ = ["train"]


def train(
    task: str,
    *,
    train: Data,
    valid: Data | None = None,
    out: str | PathLike[str] | None = None,
    model: str | None = None,
    preset: str = "small",
    settings: Mapping[str, Any] | None = None,
    columns: Labelled | Pairs | None = None,
    read_options: ReadOptions | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callback: Callback | None = None,
) -> Model:
    """Train a model on your own text.

    Example::

        model = regard.train("translation", train=("train.de", "train.en"), out="runs/de-en")
        model.translate("Ein Mann fährt Rad.")[0].text  # "A man rides a bike."

    Args:
        task: `"translation"`, `"classification"`, `"summarization"` or `"language"`.
        train: files, or `Example`s. Parallel text comes as source and target by turns.
        valid: likewise; `None` holds out a tenth of `train`, a thousand examples at most.
        out: the model's folder; `None` keeps the model in memory only.
        model: which kind, e.g. `"rnn"`; `None` takes the task's own.
        preset: `"tiny"`, `"small"` or `"base"`.
        settings: single settings by name, e.g. `{"epochs": 3}`.
        columns: of tables whose columns do not have the usual names.
        read_options: encoding, separator, longest line.
        resume: go on with the run in `out`, to exactly the losses of one never interrupted.
        overwrite: replace the model in `out`.
        callback: informed of progress.

    Returns:
        The model with its best weights.

    Raises:
        InputError: a folder in use, a wrong number of files; `SettingsError` for a setting.
        DataError: a line that cannot be used.
        TrainingError: the loss is no longer a number.
        Interrupted: stopped by a signal, everything saved.
    """
    chosen = resolve(task, kind=model, preset=preset, values=settings)
    measures, metric = MODELS[chosen.kind].metrics, chosen.training.metric
    if metric not in measures:
        raise SettingsError(f"{task} has no metric {metric!r}; {nearest(metric, measures)}")
    source = ExampleReader(chosen.task, columns, read_options)
    callback = callback or Callback()
    if out is None:
        with tempfile.TemporaryDirectory(prefix="regard-") as folder:
            try:
                found = _run(
                    chosen, source, train, valid, Path(folder), resume=False, callback=callback
                )
            except Interrupted as stop:
                raise Interrupted(None, stop.signal) from None  # the folder does not outlive this
        found.folder = None
        return found
    process_group = ProcessGroup()
    if process_group.is_main:
        claim(Path(out), resume=resume, overwrite=overwrite)
    process_group.barrier()
    found = _run(
        chosen,
        source,
        train,
        valid,
        Path(out),
        resume=resume,
        callback=callback,
        process_group=process_group,
    )
    if process_group.is_main:
        callback.on_message(f"the model is in {out}")
    return found


def _run(
    settings: RunSettings,
    source: ExampleReader,
    train: Data,
    valid: Data | None,
    out: Path,
    *,
    resume: bool,
    callback: Callback,
    process_group: ProcessGroup | None = None,
) -> Model:
    process_group = process_group or ProcessGroup()
    callback = callback if process_group.is_main else Callback()
    examples, held_out = _read(settings, source, train, valid, callback)
    begun = resume and (out / RUN_FILE).is_file()
    if resume:
        _same_settings(settings, out)
    kind = MODELS[settings.kind]
    model = load(out, weights=False) if begun else kind.from_examples(examples, settings)
    encoded = model.encode_examples(examples, training=True)
    for reason, count in encoded.skipped.items():
        callback.on_message(f"left out {count:,} training examples: {reason}")
    if not len(encoded.lengths):
        raise InputError("no training example is left; raise max_tokens")
    facts = {
        "train": names_of(train),
        "valid": names_of(valid) if valid is not None else [],
        "command": _command(),
        "examples": [len(examples), len(held_out)],
        "fingerprint": _fingerprint(examples, held_out),
        **source.to_json(),
    }
    if resume:
        _same_data(facts, out)
    elif process_group.is_main:
        clear(out)  # not before the data has been read: with a slip in it the former model stays
    if not begun and process_group.is_main:
        _set_down(model, settings, facts, out)
    history = fit(
        model.network,
        model.loss,
        encoded.epochs(settings.training),
        settings=settings.training,
        validate=model.validator(held_out),
        out=out,
        resume=begun,
        callback=callback,
        process_group=process_group,
    )
    process_group.barrier()
    load_weights(model.network, out / WEIGHTS_FILE)
    model.network.eval()
    model.folder = out
    # Refit on the held-out examples only if the user gave no validation set.
    parts = examples, held_out
    if begun and valid is None:
        model.refit(examples, ())  # of a finished run they have: back to what may be judged
    try:
        _finish(
            model,
            history,
            parts,
            refit=valid is None,
            first=process_group.is_main,
            callback=callback,
        )
    except KeyboardInterrupt:  # trained it is; the figures come with --resume
        raise Interrupted(out, signal.SIGINT) from None
    return model


def _set_down(model: Model, settings: RunSettings, facts: dict[str, Any], out: Path) -> None:
    """Write what a model is, before it has learnt anything: its text side and `config.json`."""
    about = {"regard": __version__, "format": FORMAT, "settings": settings.model_dump(mode="json")}
    write_json(out / CONFIG, {**about, "data": facts, **model.save_tokenizers(out)})


def _read(
    settings: RunSettings,
    source: ExampleReader,
    train: Data,
    valid: Data | None,
    callback: Callback,
) -> tuple[Sequence[Example], Sequence[Example]]:
    examples = source.read_training(train)
    if valid is None:
        labelled = settings.task == "classification"
        parts = hold_out(examples, seed=settings.training.seed, labelled=labelled)
        callback.on_message(
            f"held out {len(parts[1]):,} of {len(examples):,} examples for validation"
        )
    else:
        parts = examples, source.read(valid)
    reports = [part.report for part in (examples, parts[1]) if isinstance(part, Corpus)]
    worth_telling = [str(r) for r in reports if r.skipped or r.cut or r.notes]
    for report in dict.fromkeys(worth_telling):  # a part held out has the report of the whole
        callback.on_message(report)
    return parts


def _finish(
    model: Model,
    history: History,
    parts: tuple[Sequence[Example], Sequence[Example]],
    *,
    refit: bool,
    first: bool,
    callback: Callback,
) -> None:
    """Score the model, refit it, and leave a plot and a model card beside the weights."""
    assert model.folder is not None
    examples, held_out = parts
    scores = model.evaluate(held_out[:1000], train=examples) if first else None
    refitted = refit and model.refit(examples, held_out)  # the figures are from before
    if scores is None:
        return
    if refitted:
        save_weights(model.network, model.folder / WEIGHTS_FILE)
    plot = plot_history(history.records, title=model.folder.name)
    write(plot, model.folder / "history.png")
    write_card(model, history, scores, model.folder)
    callback.on_message(f"\nOn the validation part, beside a simple baseline\n\n{scores.table}\n")


def _command() -> str:
    """How this run was started."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _fingerprint(*parts: Sequence[Example]) -> int:
    """A number that changes when a text, a target or a label does; files may move."""
    found = 0
    for examples in parts:
        for example in examples:
            targets = example.references or (example.target,)
            content = example.source, targets, example.labels
            found = zlib.crc32(repr(content).encode(), found)
    return found


def _same_settings(settings: RunSettings, out: Path) -> None:
    former, now = read_config(out)["settings"], settings.model_dump(mode="json")
    free = ("minutes", "save_seconds", "tensorboard")
    for group, values in now.items():
        if not isinstance(values, dict):
            values, former[group] = {group: values}, {group: former[group]}
        for name in values.keys() | former[group].keys():
            before, after = former[group].get(name), values.get(name)
            if before != after and name not in free:
                raise SettingsError(
                    f"{out} was begun with {name}={before}, this is {name}={after}; "
                    f"go on with the same settings, or train anew with --overwrite"
                )


def _same_data(now: dict[str, Any], out: Path) -> None:
    before = read_config(out)["data"]
    if (before["fingerprint"], before["examples"]) != (now["fingerprint"], now["examples"]):
        raise InputError(
            "{} was begun with {:,} training and {:,} validation examples, these are {:,} and {:,}, not all "
            "the same; give the same data, or train anew with --overwrite".format(
                out, *before["examples"], *now["examples"]
            )
        )
