"""Evaluation of a model on a test part, beside a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from regard.api.corpus.each import each_of, itself
from regard.api.examples import (
    Data,
    ExampleReader,
    Tables,
    default_columns,
    names_of,
    text_options,
    texts_of,
)
from regard.api.load import load
from regard.api.pairs import with_usual_pairs
from regard.api.storage.data_files import difference
from regard.api.tasks.model import Evaluation, Model
from regard.data import Corpus, Example, Labelled, Pairs, ReadOptions, Texts, match_labels
from regard.data.columns import Columns
from regard.data.labels import labels_of, names_of_model, rename_labels
from regard.data.sniff import ending_of, has_table_ending
from regard.decoding import DecodingSettings
from regard.engines import Engine
from regard.errors import RegardError
from regard.integrations.pretrained.folder import is_pretrained

__all__ = ["evaluate", "reader_of", "reader_with", "texts_for"]


def evaluate(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    columns: Tables | None = None,
    read_options: ReadOptions | None = None,
    settings: DecodingSettings | None = None,
    engine: Engine | None = None,
) -> Evaluation:
    """Score a model on a test part, beside an honest simple baseline on the same part.

    Baselines that learn (TF-IDF with logistic regression, word frequencies) are fitted on the files the
    model was trained on, whose paths and SHA-256 are in `config.json`; where those are gone or changed there
    is no baseline, and `Evaluation.note` says so.

    Args:
        model: or its folder.
        test: files or examples.
        columns: of tables; `None` as in training.
        read_options: encoding and separator; `None` as in training.
        settings: how to decode; `None` for the settings the model was trained with.
        engine: who runs the model, such as `regard.engines.RayEngine`; `None` is this process. The batches
            are the same.

    Raises:
        DataError: a line that cannot be used.
        ModelFolderError: no model in the folder.
    """
    model = model if isinstance(model, Model) else load(model)
    examples = reader_of(model, columns, read_options, data=test).read(test)
    spelled = ""
    if model.labels:
        examples, spelled = _as_the_model_names(match_labels(examples, model.labels), model)
    train, note = _training_part(model) if model.fits_baseline else (None, "")
    if isinstance(examples, Corpus) and (examples.report.skipped or examples.report.notes):
        note = "\n\n".join(filter(None, [note, str(examples.report)]))
    precision = "" if model.precision == "float32" else f"answers in {model.precision}"
    note = "\n\n".join(filter(None, [note, spelled, precision]))
    each = None if engine is None else each_of(model, engine, itself)
    return model.evaluate(examples, train=train, settings=settings, note=note, each=each)


def _as_the_model_names(examples: Sequence[Example], model: Model) -> tuple[Sequence[Example], str]:
    """The examples with the model's names for their labels, and a note if those are others."""
    found = dict.fromkeys(label for labels in labels_of(examples) for label in labels)
    names = names_of_model(found, model.labels)
    if not names:
        return examples, ""
    pairs = ", ".join(f"{here!r} as {there!r}" for here, there in [*names.items()][:12])
    more = ", ..." if len(names) > 12 else ""
    return rename_labels(examples, names), f"labels are read as the model's: {pairs}{more}"


def reader_of(
    model: Model,
    columns: Tables | None = None,
    options: ReadOptions | None = None,
    *,
    data: Data = (),
) -> ExampleReader:
    """Reader of a model's files, with what is `None` as in training.

    Args:
        model: whose training is followed.
        columns: of tables.
        options: encoding, separator and more.
        data: what is to be read. A separator or format of the training files is not that of files with another
            ending that says what they are.
    """
    trained = _trained_reader(model)
    if options is None and trained.options is not None:
        options = trained.options
        now = {ending_of(name) for name in names_of(data)}
        other = now and now.isdisjoint(map(ending_of, _training_names(model)))
        if other and all(map(has_table_ending, names_of(data))):
            options = options.replace(format=None, separator=None, escape=None)
    return ExampleReader(trained.task, _with_pairs(model, columns or trained.columns), options)


def _with_pairs(model: Model, columns: Tables | None) -> Tables | None:
    """Columns that are looked for by usual names of pairs, too, for a model that reads pairs."""
    if model.task != "classification":
        return columns
    return with_usual_pairs(model, Labelled() if columns is None else columns)


def reader_with(
    model: Model,
    *,
    source: Columns | None = None,
    target: Columns | None = None,
    label_separator: str | None = None,
    options: Mapping[str, Any] | None = None,
    data: Data = (),
) -> ExampleReader:
    """Reader of a model's files, as in training but for what is given.

    Args:
        model: whose training is followed.
        source: column of the texts.
        target: column of the labels or targets.
        label_separator: separator of several labels of one text.
        options: single read options by name.
        data: what is to be read.
    """
    reader = reader_of(model, data=data)
    columns: Tables = reader.columns or default_columns(model.task)
    given: dict[str, Any] = (
        {"text": source} if not isinstance(columns, Pairs) else {"source": source}
    )
    if isinstance(columns, Labelled):
        given |= {"label": target, "separator": label_separator}
    elif isinstance(columns, Pairs):
        given |= {"target": target}
    given = {name: value for name, value in given.items() if value is not None}
    requested = _with_pairs(model, type(columns)(**{**vars(columns), **given}))
    read_options = (reader.options or ReadOptions()).replace(**(options or {}))
    return ExampleReader(reader.task, requested, read_options)


def texts_for(
    model: Model,
    name: str,
    *,
    source: Columns | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Texts, ReadOptions]:
    """How to read the texts that a model answers.

    Args:
        model: whose training says which column holds them.
        name: of the file.
        source: the column, if the user names one.
        options: single read options by name.
    """
    trained = _trained_reader(model)
    read_options = ReadOptions(**(options or {}))
    spaced = trained.options is not None and trained.options.separator == " "
    if spaced and read_options.separator is None:  # `label the text`, which nothing else gives away
        read_options = text_options(read_options.replace(separator=" "), [name], model.labels)
    texts = texts_of(trained.columns, text=source, labels=model.labels)
    return with_usual_pairs(model, texts), read_options


def _trained_reader(model: Model) -> ExampleReader:
    return ExampleReader.from_json(model.task, dict(model.data_facts))


def _training_names(model: Model) -> list[str]:
    names: list[str] = model.data_facts.get("train", [])
    return names


def _training_part(model: Model) -> tuple[Sequence[Example] | None, str]:
    """Training part of a model, or a note why there is none.

    A file is taken only if it is the very one the model was trained on.
    """
    data = model.data_facts
    if model.folder is not None and is_pretrained(model.folder):
        return (
            None,
            "no baseline: the model was trained elsewhere, on data that its folder does not name",
        )
    if not data.get("train"):
        return None, "no baseline: the model was trained on examples given from Python"
    files = data.get("files")
    if files is None:
        return None, "no baseline: the model's folder holds no hashes of its training files"
    if why := difference(files):
        return None, f"no baseline: {why}"
    try:
        names = [file["path"] or file["name"] for file in files]
        return _trained_reader(model).read_training(names), ""
    except RegardError as error:
        return None, f"no baseline: its training part cannot be read ({error})"
