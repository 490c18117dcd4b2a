"""Evaluation of a model on a test part, beside a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from regard.api.examples import Data, ExampleReader
from regard.api.load import load
from regard.api.storage.folder import read_config
from regard.api.tasks.model import Evaluation, Model
from regard.data import Example, Labelled, Pairs, ReadOptions
from regard.decoding import DecodingSettings
from regard.errors import RegardError

__all__ = ["evaluate", "reader_of"]


def evaluate(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    columns: Labelled | Pairs | None = None,
    read_options: ReadOptions | None = None,
    settings: DecodingSettings | None = None,
) -> Evaluation:
    """Score a model on a test part, beside an honest simple baseline on the same part.

    Baselines that learn (TF-IDF with logistic regression, word frequencies) are fitted on the files the
    model was trained on, as `config.json` names them; where those are gone there is no baseline, and
    `Evaluation.note` says so.

    Args:
        model: or its folder.
        test: files or examples.
        columns: of tables; `None` as in training.
        read_options: encoding and separator; `None` as in training.
        settings: how to decode; `None` for the settings the model was trained with.

    Raises:
        DataError: a line that cannot be used.
        ModelFolderError: no model in the folder.
    """
    model = model if isinstance(model, Model) else load(model)
    examples = reader_of(model, columns, read_options).read(test)
    train, note = _training_part(model) if model.fits_baseline else (None, "")
    return model.evaluate(examples, train=train, settings=settings, note=note)


def reader_of(
    model: Model, columns: Labelled | Pairs | None = None, options: ReadOptions | None = None
) -> ExampleReader:
    """Reader of a model's files, with what is `None` as in training."""
    data = read_config(model.folder)["data"] if model.folder else {}
    trained = ExampleReader.from_json(model.task, data)
    return ExampleReader(trained.task, columns or trained.columns, options or trained.options)


def _training_part(model: Model) -> tuple[Sequence[Example] | None, str]:
    """Training part of a model, or a note why there is none."""
    files = read_config(model.folder)["data"].get("train") if model.folder else None
    if not files:
        return None, "no baseline: the model was trained on examples given from Python"
    try:
        return reader_of(model).read_training(files), ""
    except RegardError as error:
        return None, f"no baseline: its training part cannot be read ({error})"
