"""How good a model is, beside what anybody gets without one."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from regard.api.examples import Data, ExampleReader
from regard.api.load import load
from regard.api.storage.folder import read_config
from regard.api.tasks.model import Evaluation, Model
from regard.data import Example, Labelled, Pairs, ReadOptions
from regard.decoding import DecodingSettings
from regard.errors import RegardError

__all__ = ["evaluate"]


def evaluate(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    columns: Labelled | Pairs | None = None,
    read_options: ReadOptions | None = None,
    settings: DecodingSettings | None = None,
) -> Evaluation:
    """Score a model on a test part, beside an honest simple baseline on the same part.

    Baselines that learn (TF-IDF with logistic regression, word frequencies) are fitted anew on the
    files the model was trained on, as `config.json` names them; where those are gone there is no
    baseline, and `Evaluation.note` says so.

    Args:
        model: or its folder.
        test: files or examples.
        columns: of tables; `None` as in training.
        read_options: encoding and separator; `None` as in training.
        settings: how to decode; `None` as the model was trained to.
    """
    model = model if isinstance(model, Model) else load(model)
    data = read_config(model.folder)["data"] if model.folder else {}
    trained = ExampleReader.from_json(model.settings.task, data)
    source = ExampleReader(
        trained.task, columns or trained.columns, read_options or trained.options
    )
    examples = source.read(test)
    train, note = _training_part(trained, data) if model.fits_baseline else (None, "")
    return model.evaluate(examples, train=train, settings=settings, note=note)


def _training_part(
    source: ExampleReader, data: dict[str, Any]
) -> tuple[Sequence[Example] | None, str]:
    if not data.get("train"):
        return None, "no baseline: the model was trained on examples given from Python"
    try:
        return source.read_training(data["train"]), ""
    except RegardError as error:
        return None, f"no baseline: its training part cannot be read ({error})"
