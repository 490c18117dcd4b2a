"""One training run, from its data to its folder."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from regard.api import doctor
from regard.api.beginning import Beginning
from regard.api.config.derived import DERIVED, derive, planned_updates
from regard.api.config.presets import defaults_of
from regard.api.config.settings import RunSettings
from regard.api.examples import (
    TOO_FEW_TO_HOLD_OUT,
    Data,
    ExampleReader,
    hold_out,
    names_of,
)
from regard.api.load import load, model_class
from regard.api.parts import PartsInCommon, compare_while_reading
from regard.api.selection import describe_choice
from regard.api.storage.card import write_card
from regard.api.storage.data_files import file_records
from regard.api.storage.folder import (
    CARD_FILE,
    CONFIG,
    clear,
    read_config,
    seal_results,
    update_config,
    write_config,
)
from regard.api.storage.replacing import (
    begin_next,
    replace_by_next,
)
from regard.api.storage.resume import (
    as_begun,
    check_same_data,
    check_same_settings,
    command_line,
    fingerprint,
)
from regard.api.storage.seal import IDENTITY
from regard.api.tasks.model import EncodedExamples, Evaluation, Model
from regard.data import Corpus, Example, labels_of, match_labels
from regard.errors import InputError
from regard.training import Callback, Callbacks, History, Interrupted, ProcessGroup, Ranking, fit
from regard.training.checkpoint import (
    HISTORY_FILE,
    RUN_FILE,
    WEIGHTS_FILE,
    load_weights,
    save_weights,
)

__all__ = ["Run", "train_run"]


@dataclass(frozen=True)
class Run:
    """Everything one training run starts from.

    Args:
        settings: settings of the run.
        given: names of the training settings that the user gave.
        reader: reads its files.
        train: training part, as the user named it.
        valid: validation part; `None` if it is held out of `train`.
        out: folder of the model.
        place: where the run writes until it has weights: `out`, or beside the model that it will replace.
        resume: whether to go on with the run in `out`.
        callback: informed of progress; does nothing except in the main process.
        processes: the processes that train together.
        beginning: masked language model whose encoder the model begins with; `None` begins at random.
    """

    settings: RunSettings
    given: frozenset[str]
    reader: ExampleReader
    train: Data
    valid: Data | None
    out: Path
    place: Path
    resume: bool
    callback: Callback
    processes: ProcessGroup
    beginning: Beginning | None = None


@dataclass(frozen=True)
class _Parts:
    """Training and validation part of a run.

    Args:
        train: training part.
        valid: validation part.
        held_out: whether the validation part was held out of the user's training part.
    """

    train: Sequence[Example]
    valid: Sequence[Example]
    held_out: bool


def train_run(run: Run) -> Model:
    """Train one model, from its data to its folder."""
    parts = _read_parts(run)
    continues = run.resume and (run.place / RUN_FILE).is_file()
    if continues:
        model = load(run.place, weights=False)
        settings = model.fitted_settings(as_begun(run.place, run.settings, run.given))
        run = replace(run, settings=settings)
        check_same_settings(run.place, run.settings)
    else:
        begin = run.beginning.model_of if run.beginning else model_class(run.settings).from_examples
        model = begin(parts.train, run.settings)
        run = replace(run, settings=model.settings)
    encoded = _encode_train(run, model, parts.train)
    encoded_valid = model.encode_examples(parts.valid, training=False)
    derived: list[str] = []
    if not continues:
        run, derived = _fit_settings(run, model, parts, encoded)
        fitted = model.fit_features(encoded)
        if fitted:
            run.callback.on_message(fitted)
    model.begin_training()
    common = _open_folder(run, model, parts, derived, continues=continues)
    findings = _findings_before(run, parts, encoded, common)
    ranking = _ranking(run, model, parts)
    run.processes.barrier()  # the main process has written the config
    identity = read_config(run.place).get(IDENTITY, "")
    callback = run.callback
    if continues and run.place == run.out and run.processes.is_main:
        callback = Callbacks([_CardRemover(run.out), callback])
    history = fit(
        model.network,
        model.loss,
        encoded.epochs(run.settings.training),
        settings=run.settings.training,
        validate=model.validator(parts.valid, encoded_valid),
        ranking=ranking,
        out=run.place,
        resume=continues,
        records=[finding.record(step=0) for finding in findings],
        callback=callback,
        process_group=run.processes,
        belongs_to=identity,
        on_weights=partial(_replace_model, run) if run.place != run.out else None,
    )
    run.processes.barrier()
    model.end_training()
    load_weights(model.network, run.out / WEIGHTS_FILE, belongs_to=identity)
    model.network.eval()
    model.folder = run.out
    if continues and parts.held_out:
        # The weights of a finished run are refitted on the validation part already, which must not
        # judge them then: back to a fit on the training part alone.
        model.refit([encoded])
    try:
        _finish(run, model, parts, [encoded, encoded_valid], history, ranking)
    except KeyboardInterrupt:  # the model is trained; --resume makes up for the missing scores
        raise Interrupted(run.out, signal.SIGINT) from None
    model.take_files_of(run.out)
    return model


def _replace_model(run: Run) -> Path:
    """Replace the model in the folder of the run, which has weights now; the run goes on there."""
    if run.processes.is_main:
        replace_by_next(run.out)
    return run.out


class _CardRemover(Callback):
    """Deletes the card of a run that goes on: the next validation may replace the weights it is about.

    Args:
        folder: of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._card = folder / CARD_FILE

    def on_validation_start(self) -> None:
        self._card.unlink(missing_ok=True)


def _read_parts(run: Run) -> _Parts:
    """Read both parts, or hold the validation part out, and report what was left out."""
    examples = run.reader.read_training(run.train)
    if run.valid is not None:
        valid = run.reader.read(run.valid)
        if run.settings.task == "classification":
            known = {label for labels in labels_of(examples) for label in labels}
            valid = match_labels(valid, sorted(known))
        parts = _Parts(examples, valid, held_out=False)
    elif len(examples) < TOO_FEW_TO_HOLD_OUT:
        parts = _Parts(examples, hold_out(examples, seed=0, labelled=False)[1], held_out=False)
        run.callback.on_message(
            f"{len(examples):,} examples are too few to hold some out: the model is validated on what "
            "it is trained on"
        )
    else:
        labelled = run.settings.task == "classification"
        halves = hold_out(examples, seed=run.settings.training.seed, labelled=labelled)
        parts = _Parts(*halves, held_out=True)
        run.callback.on_message(
            f"held out {len(parts.valid):,} of {len(examples):,} examples for validation"
        )
    reports = [part.report for part in (examples, parts.valid) if isinstance(part, Corpus)]
    worth_reading = [str(r) for r in reports if r.skipped or r.cut or r.notes]
    for report in dict.fromkeys(worth_reading):  # a part held out has the report of the whole
        run.callback.on_message(report)
    return parts


def _fit_settings(
    run: Run, model: Model, parts: _Parts, encoded: EncodedExamples
) -> tuple[Run, list[str]]:
    """Fit the settings that the user did not give to the data; return the names of those that changed."""
    preset = run.settings.training
    updates = defaults_of(run.settings.task, run.settings.kind).updates[run.settings.kind]
    fitted = derive(preset, encoded.lengths, given=run.given, updates=updates)
    metric, reason = model.usable_metric(parts.valid, preset.metric, given="metric" in run.given)
    fitted = fitted.replace(metric=metric)
    changed = {
        name: getattr(fitted, name)
        for name in DERIVED
        if getattr(fitted, name) != getattr(preset, name)
    }
    if reason:
        run.callback.on_message(f"{metric} decides instead of {preset.metric}: {reason}")
    shown = [f"{name}={value}" for name, value in changed.items() if name != "metric"]
    if shown:
        count = planned_updates(fitted, encoded.lengths)
        run.callback.on_message(
            f"{', '.join(shown)}: fitted to {len(encoded.lengths):,} training examples "
            f"({count:,} updates); --set changes them"
        )
    settings = run.settings.replace(training=fitted)
    model.settings = settings
    return replace(run, settings=settings), list(changed)


def _encode_train(run: Run, model: Model, examples: Sequence[Example]) -> EncodedExamples:
    """Encode the training part, and report what was left out."""
    encoded = model.encode_examples(examples, training=True)
    for reason, count in encoded.skipped.items():
        run.callback.on_message(f"left out {count:,} training examples: {reason}")
    if encoded.cut:
        limit = model.settings.text.max_tokens
        run.callback.on_message(
            f"cut {encoded.cut:,} of {len(encoded.lengths):,} training texts to their first {limit:,} tokens"
        )
    if not len(encoded.lengths):
        raise InputError("no training example is left; raise max_tokens")
    return encoded


def _open_folder(
    run: Run, model: Model, parts: _Parts, derived: Sequence[str], *, continues: bool
) -> PartsInCommon:
    """Compare the folder of a resumed run with its data; write the tokenizers and config of a new one.

    Returns:
        What the parts have in common, counted while their fingerprint is taken.
    """
    common = PartsInCommon()
    train_part = compare_while_reading(parts.train, parts.valid, common)
    data = {
        "train": names_of(run.train),
        "valid": names_of(run.valid) if run.valid is not None else [],
        "command": command_line(),
        "examples": [len(parts.train), len(parts.valid)],
        "fingerprint": fingerprint(train_part, parts.valid),
        **run.reader.to_json(),
    }
    begun = run.place if run.place.is_dir() else run.out
    if run.resume and (begun / CONFIG).is_file():
        check_same_settings(begun, run.settings)
        check_same_data(begun, data)
    run.processes.barrier()  # until all have compared
    if continues and run.processes.is_main:
        update_config(run.place, results={})  # until the run has ended again
    if not continues and run.processes.is_main:
        # Only now that the data has been read: a mistake in it costs no former run.
        if run.place == run.out:
            clear(run.out)
        else:
            begin_next(run.out)
        data["files"] = file_records(names_of(run.train))
        if run.beginning is not None:
            data["beginning"] = run.beginning.facts()
        write_config(
            run.place,
            settings=run.settings.model_dump(mode="json"),
            derived=derived,
            data=data,
            model=model.save_tokenizers(run.place),
        )
    return common


def _findings_before(
    run: Run, parts: _Parts, encoded: EncodedExamples, common: PartsInCommon
) -> list[doctor.Finding]:
    """Report what can be found before training."""
    training = run.settings.training
    examined = [
        doctor.short_of_warmup(planned_updates(training, encoded.lengths), training.warmup),
        doctor.shared_texts(common.shared, len(parts.valid)),
        doctor.copied_targets(common.copies, common.targets),
    ]
    if run.settings.task != "language":  # a perplexity has no points
        examined.append(doctor.small_validation(len(parts.valid)))
    findings = [finding for finding in examined if finding is not None]
    for finding in findings:
        run.callback.on_message(str(finding))
    return findings


def _ranking(run: Run, model: Model, parts: _Parts) -> Ranking:
    floors = model.floors(parts.valid)
    return Ranking(run.settings.training.metric, model.ties, floors, model.keep_earliest)


def _finish(
    run: Run,
    model: Model,
    parts: _Parts,
    encoded: Sequence[EncodedExamples],
    history: History,
    ranking: Ranking,
) -> None:
    """Score the model, refit it, and leave a plot and a model card beside the weights."""
    scores = alignment = None
    if run.processes.is_main:
        # Before the scores: unknown words are copied by the attention that is chosen.
        alignment = model.choose_alignment(parts.valid, parts.train)
        scores = model.evaluate(parts.valid[:1000], train=parts.train)
    refitted = False
    if parts.held_out:  # a validation part that the user gave must stay unseen
        # After the scores, which are those of the model before it has seen the validation part.
        refitted = model.refit(encoded)
    if scores is None:
        return
    if refitted:
        identity = read_config(run.out).get(IDENTITY, "")
        save_weights(model.network, run.out / WEIGHTS_FILE, belongs_to=identity)
    choice = describe_choice(history, ranking)
    run.callback.on_message(choice)
    if alignment is not None:
        update_config(run.out, alignment=alignment.to_json())
    _draw(history, run.out)
    for finding in _findings_after(run, scores, history, ranking):
        history.add(finding.record(history.validations[-1]["step"]))
        run.callback.on_message(str(finding))
    history.save(run.out / HISTORY_FILE)
    write_card(model, history, scores, choice, run.out)
    seal_results(run.out)
    how = model.decoding_note(len(parts.valid))
    run.callback.on_message(
        f"\nOn the validation part, beside a simple baseline\n\n{scores.table}\n"
        + (f"\n{how}\n" if how else "")
    )
    if alignment is not None:
        run.callback.on_message(str(alignment))


def _findings_after(
    run: Run, scores: Evaluation, history: History, ranking: Ranking
) -> list[doctor.Finding]:
    """Find what can be found after training."""
    training = run.settings.training
    last = history.validations[-1]
    limited = training.minutes is not None and last["seconds"] >= 60 * training.minutes
    made = doctor.short_of_warmup(last["step"], training.warmup, made=True)
    examined = [
        made if limited else None,  # else it was found before
        doctor.still_improving(history, ranking, limited=limited),
        doctor.at_floor(history, ranking),
        doctor.below_baseline(scores.scores, scores.baselines, ranking),
    ]
    return [finding for finding in examined if finding is not None]


def _draw(history: History, out: Path) -> None:
    """Leave a plot of the losses and metrics in the model's folder."""
    from regard.viewing.figure import plot_history, write  # matplotlib is slow to import

    write(plot_history(history.records, title=out.name), out / "history.png")
